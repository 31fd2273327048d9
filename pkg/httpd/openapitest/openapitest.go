// Package openapitest compares what the daemon answers with the document docs/openapi.json. Tests use it.
package openapitest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/maitred/maitred/docs"
)

// The addresses by which the document calls the two listeners.
const (
	Public = "https://call.example.com"
	Admin  = "http://127.0.0.1:9090"
)

const location = "openapi.json"

// Document is docs/openapi.json.
type Document struct {
	root     map[string]any
	compiler *jsonschema.Compiler
}

// Operation is one method of one path.
type Operation struct {
	ID, Method, Path string
	Listeners        []string // Public, Admin
	NeedsAuth        bool     // on some listener
	Statuses         []int    // that are documented

	at node
}

// Load reads the document.
func Load() (*Document, error) {
	text, err := docs.Files.ReadFile(location)
	if err != nil {
		return nil, err
	}
	return parse(text)
}

func parse(text []byte) (*Document, error) {
	root, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	closed, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	closeObjects(closed)
	d := &Document{root: root.(map[string]any), compiler: jsonschema.NewCompiler()}
	d.compiler.AssertFormat()
	return d, d.compiler.AddResource(location, closed)
}

// closeObjects has every object refuse the fields that the document does not name: clients must ignore them, but we must not have any.
func closeObjects(value any) {
	switch value := value.(type) {
	case map[string]any:
		_, named := value["properties"].(map[string]any)
		if _, said := value["additionalProperties"]; named && !said {
			value["additionalProperties"] = false
		}
		for _, v := range value {
			closeObjects(v)
		}
	case []any:
		for _, v := range value {
			closeObjects(v)
		}
	}
}

// node is a place in the document.
type node struct {
	doc     *Document
	pointer string // RFC 6901
	value   any    // nil: there is nothing
}

func escape(key string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(key)
}

// at looks a JSON pointer up; where it leads to a reference, the result is what that is to.
func (d *Document) at(pointer string) node {
	var value any = d.root
	for key := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		key = strings.NewReplacer("~1", "/", "~0", "~").Replace(key)
		switch inner := value.(type) {
		case map[string]any:
			value = inner[key]
		case []any:
			i, err := strconv.Atoi(key)
			if err != nil || i < 0 || i >= len(inner) {
				return node{d, pointer, nil}
			}
			value = inner[i]
		default:
			return node{d, pointer, nil}
		}
	}
	if object, ok := value.(map[string]any); ok {
		if ref, ok := object["$ref"].(string); ok && len(object) == 1 {
			return d.at(strings.TrimPrefix(ref, "#"))
		}
	}
	return node{d, pointer, value}
}

// child goes down by keys, through references.
func (n node) child(keys ...string) node {
	for _, key := range keys {
		n = n.doc.at(n.pointer + "/" + escape(key))
	}
	return n
}

func (n node) object() map[string]any { o, _ := n.value.(map[string]any); return o }
func (n node) list() []any            { l, _ := n.value.([]any); return l }
func (n node) text() string           { s, _ := n.value.(string); return s }

// keys are those of an object, in order.
func (n node) keys() []string { return slices.Sorted(maps.Keys(n.object())) }

// items are the elements of a list.
func (n node) items() []node {
	items := make([]node, len(n.list()))
	for i := range items {
		items[i] = n.child(strconv.Itoa(i))
	}
	return items
}

var methods = []string{"get", "put", "post", "delete", "options", "head", "patch", "trace"}

// Operations are all operations of the document, webhooks not among them.
func (d *Document) Operations() []Operation {
	var all []Operation
	paths := d.at("/paths")
	for _, path := range paths.keys() {
		for _, method := range paths.child(path).keys() {
			if slices.Contains(methods, method) {
				all = append(all, d.operation(path, method))
			}
		}
	}
	return all
}

func (d *Document) operation(path, method string) Operation {
	n := d.at("/paths").child(path, method)
	op := Operation{ID: n.child("operationId").text(), Method: strings.ToUpper(method), Path: path, at: n}
	servers := d.at("/servers")
	for _, nearer := range []node{d.at("/paths").child(path, "servers"), n.child("servers")} {
		if nearer.value != nil {
			servers = nearer
		}
	}
	for _, server := range servers.items() {
		op.Listeners = append(op.Listeners, server.child("url").text())
	}
	for _, way := range n.child("security").items() {
		op.NeedsAuth = op.NeedsAuth || len(way.object()) > 0
	}
	for _, status := range n.child("responses").keys() {
		if code, err := strconv.Atoi(status); err == nil {
			op.Statuses = append(op.Statuses, code)
		}
	}
	return op
}

// Find is the operation that a request with this method and path is for.
func (d *Document) Find(method, path string) (Operation, bool) {
	var found []Operation
	for _, op := range d.Operations() {
		if op.Method == method && pathPattern(op.Path).MatchString(path) {
			found = append(found, op)
		}
	}
	if len(found) != 1 {
		return Operation{}, false
	}
	return found[0], true
}

var templated = regexp.MustCompile(`\\\{[a-z]+\\\}`)

func pathPattern(path string) *regexp.Regexp {
	return regexp.MustCompile("^" + templated.ReplaceAllString(regexp.QuoteMeta(path), "[^/]+") + "$")
}

var codeWord = regexp.MustCompile("`([a-z]+(?:_[a-z]+)*)`:")

// Codes are the codes that problems of this status have, as its description names them.
func (o Operation) Codes(status int) []string {
	var codes []string
	description := o.at.child("responses", strconv.Itoa(status), "description").text()
	for _, match := range codeWord.FindAllStringSubmatch(description, -1) {
		codes = append(codes, match[1])
	}
	return codes
}

// CheckRequest says what is wrong with the body of a request, if it should be taken.
func (o Operation) CheckRequest(body []byte) error {
	n := o.at.child("requestBody")
	if len(body) == 0 {
		if required, _ := n.child("required").value.(bool); required {
			return fmt.Errorf("%s needs a body", o.ID)
		}
		return nil
	}
	return n.child("content", "application/json", "schema").validateJSON(body)
}

// CheckResponse says what is wrong with an answer.
func (o Operation) CheckResponse(status int, header http.Header, body []byte) error {
	response := o.at.child("responses", strconv.Itoa(status))
	if response.value == nil {
		return fmt.Errorf("%s: status %d is not documented", o.ID, status)
	}
	for _, name := range response.child("headers").keys() {
		if err := response.child("headers", name, "schema").validate(header.Get(name)); err != nil || header.Get(name) == "" {
			return fmt.Errorf("%s: header %s is %q: %w", o.ID, name, header.Get(name), err)
		}
	}
	kinds := response.child("content").keys()
	if len(kinds) == 0 {
		if len(body) > 0 || header.Get("Content-Type") != "" {
			return fmt.Errorf("%s: %d has no content, but there is %q of type %q", o.ID, status, body, header.Get("Content-Type"))
		}
		return nil
	}
	kind, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil || !slices.Contains(kinds, kind) {
		return fmt.Errorf("%s: %d has the content type %q, want one of %q", o.ID, status, header.Get("Content-Type"), kinds)
	}
	schema := response.child("content", kind, "schema")
	if !strings.HasSuffix(kind, "json") {
		return schema.validate(string(body))
	}
	if err := schema.validateJSON(body); err != nil {
		return err
	}
	return o.checkCode(status, kind, body)
}

func (o Operation) checkCode(status int, kind string, body []byte) error {
	if kind != "application/problem+json" {
		return nil
	}
	var problem struct {
		Status int
		Code   string
	}
	if err := json.Unmarshal(body, &problem); err != nil {
		return err
	}
	if problem.Status != status || !slices.Contains(o.Codes(status), problem.Code) {
		return fmt.Errorf("%s: %d has %s; want the status and one of the codes %q", o.ID, status, body, o.Codes(status))
	}
	return nil
}

// CheckWebhook says what is wrong with an event of this type and its headers.
func (d *Document) CheckWebhook(event string, header http.Header, body []byte) error {
	n := d.at("/webhooks").child(event, "post")
	if n.value == nil {
		return fmt.Errorf("there is no webhook %s", event)
	}
	for _, parameter := range n.child("parameters").items() {
		name := parameter.child("name").text()
		if err := parameter.child("schema").validate(header.Get(name)); err != nil || header.Get(name) == "" {
			return fmt.Errorf("%s: header %s is %q: %w", event, name, header.Get(name), err)
		}
	}
	return n.child("requestBody", "content", "application/json", "schema").validateJSON(body)
}

func (n node) validateJSON(text []byte) error {
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("%s: %w", text, err)
	}
	if err := n.validate(value); err != nil {
		return fmt.Errorf("%s: %w", text, err)
	}
	return nil
}

func (n node) validate(value any) error {
	schema, err := n.compile()
	if err != nil {
		return err
	}
	return schema.Validate(value)
}

func (n node) compile() (*jsonschema.Schema, error) {
	return n.doc.compiler.Compile(location + "#" + n.pointer)
}
