package openapitest

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Mistakes are what is wrong with the document in itself.
func (d *Document) Mistakes() []string {
	c := &checker{doc: d, ids: map[string]bool{}, used: map[string]bool{}}
	if !strings.HasPrefix(d.at("/openapi").text(), "3.1.") {
		c.complain("/openapi", "is not 3.1")
	}
	c.walk("", d.root)
	for _, op := range d.Operations() {
		c.operation(op)
	}
	webhooks := d.at("/webhooks")
	for _, name := range webhooks.keys() {
		c.id(webhooks.child(name, "post"))
	}
	for _, kind := range []string{"headers", "parameters", "responses", "schemas"} {
		for _, name := range d.at("/components/" + kind).keys() {
			if ref := "#/components/" + kind + "/" + name; !c.used[ref] {
				c.complain(ref, "nothing refers to it")
			}
		}
	}
	return c.mistakes
}

type checker struct {
	doc      *Document
	ids      map[string]bool
	used     map[string]bool // targets of references
	mistakes []string
}

func (c *checker) complain(pointer, format string, args ...any) {
	c.mistakes = append(c.mistakes, pointer+": "+fmt.Sprintf(format, args...))
}

// walk checks references, schemas and examples wherever they are.
func (c *checker) walk(pointer string, value any) {
	switch value := value.(type) {
	case []any:
		for i, v := range value {
			c.walk(fmt.Sprintf("%s/%d", pointer, i), v)
		}
	case map[string]any:
		if ref, ok := value["$ref"].(string); ok {
			if target, here := strings.CutPrefix(ref, "#/"); !here || c.doc.at("/"+target).value == nil {
				c.complain(pointer, "%s leads nowhere", ref)
			}
			c.used[ref] = true
		}
		c.examples(pointer, value)
		for key, v := range value {
			if key != "example" && key != "examples" {
				c.walk(pointer+"/"+escape(key), v)
			}
		}
	}
}

// examples checks those of a media type, a parameter or a header, whose schema is a field, and those of a schema.
func (c *checker) examples(pointer string, holder map[string]any) {
	schema := c.doc.at(pointer + "/schema")
	if strings.HasPrefix(pointer, "/components/schemas/") && !strings.HasSuffix(pointer, "/properties") {
		schema = c.doc.at(pointer)
	}
	var examples []any
	switch given := holder["examples"].(type) {
	case map[string]any:
		for _, e := range given {
			example, _ := e.(map[string]any)
			examples = append(examples, example["value"])
		}
	case []any:
		examples = given
	}
	if e, ok := holder["example"]; ok {
		examples = append(examples, e)
	}
	if schema.value == nil {
		if len(examples) > 0 {
			c.complain(pointer, "has examples, but no schema")
		}
		return
	}
	if _, ok := schema.value.(map[string]any); !ok {
		return // a list or a word inside of a schema
	}
	if _, err := schema.compile(); err != nil {
		c.complain(pointer, "%v", err)
		return
	}
	for _, example := range examples {
		if err := schema.validate(example); err != nil {
			c.complain(pointer, "the example %v: %v", example, err)
		}
	}
}

func (c *checker) id(n node) {
	id := n.child("operationId").text()
	if id == "" || c.ids[id] {
		c.complain(n.pointer, "operationId %q is missing or there twice", id)
	}
	c.ids[id] = true
}

var inPath = regexp.MustCompile(`\{([a-z]+)\}`)

// operation checks what the specification asks of one, and that errors are documented: 401 and 403 where somebody must say who they are,
// 400 and 413 where there is a body.
func (c *checker) operation(op Operation) {
	c.id(op.at)
	if op.at.child("summary").text() == "" || len(op.at.child("tags").list()) == 0 || op.at.child("security").value == nil {
		c.complain(op.at.pointer, "summary, tags or security is missing")
	}
	if len(op.Listeners) == 0 {
		c.complain(op.at.pointer, "no listener has it")
	}
	for _, listener := range op.Listeners {
		if listener != Public && listener != Admin {
			c.complain(op.at.pointer, "%s is no listener", listener)
		}
	}
	var want []int
	if op.NeedsAuth {
		want = append(want, 401, 403)
	}
	if op.at.child("requestBody").value != nil {
		want = append(want, 400, 413)
	}
	for _, status := range want {
		if !slices.Contains(op.Statuses, status) {
			c.complain(op.at.pointer, "%d is not documented", status)
		}
	}
	c.parameters(op)
	for _, way := range op.at.child("security").items() {
		for _, scheme := range way.keys() {
			if c.doc.at("/components/securitySchemes").child(scheme).value == nil {
				c.complain(op.at.pointer, "there is no security scheme %s", scheme)
			}
		}
	}
	for _, status := range op.at.child("responses").keys() {
		if op.at.child("responses", status, "description").text() == "" {
			c.complain(op.at.pointer, "%s has no description", status)
		}
	}
}

// parameters checks that those in the path are exactly those of its template.
func (c *checker) parameters(op Operation) {
	var declared, templated []string
	shared := c.doc.at("/paths").child(op.Path, "parameters")
	for _, p := range append(shared.items(), op.at.child("parameters").items()...) {
		if p.child("in").text() == "path" {
			declared = append(declared, p.child("name").text())
		}
	}
	for _, match := range inPath.FindAllStringSubmatch(op.Path, -1) {
		templated = append(templated, match[1])
	}
	slices.Sort(declared)
	slices.Sort(templated)
	if !slices.Equal(declared, templated) {
		c.complain(op.at.pointer, "the path has the parameters %q, declared are %q", templated, declared)
	}
}
