package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxFile bounds what is read from a configuration or secret file.
const maxFile = 1 << 20

func (l *loader) readFile(name string) {
	data, mode, err := readSmall(name)
	if err != nil {
		l.mistake(&Mistake{Origin: origin{kind: fromFile, name: name}.String(), Problem: err.Error()})
		return
	}
	l.readYAML(name, data)
	if mode.Perm()&0o004 == 0 || runtime.GOOS == "windows" {
		return
	}
	for i := range table {
		if table[i].Secret && l.origins[table[i].Name].kind == fromFile {
			l.warn(fmt.Sprintf("file %s holds %s and every user of this machine can read it; chmod 640 it", name, table[i].Name))
		}
	}
}

// readSmall reads a regular-sized file; the error says only what went wrong, not for which file.
func readSmall(name string) ([]byte, fs.FileMode, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, 0, fmt.Errorf("cannot be read: %w", bare(err))
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, 0, fmt.Errorf("cannot be read: %w", bare(err))
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, 0, fmt.Errorf("cannot be read: %w", bare(err))
	}
	if len(data) > maxFile {
		return nil, 0, errors.New("is larger than 1 MiB")
	}
	return data, info.Mode(), nil
}

func bare(err error) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err
	}
	return err
}

// readYAML walks the document itself, because viper forgets lines, duplicates and how a value was written.
func (l *loader) readYAML(name string, data []byte) {
	at := func(line int) string { return origin{fromFile, name, line}.String() }
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	if err := decoder.Decode(&doc); errors.Is(err, io.EOF) {
		return
	} else if err != nil {
		line, problem := syntaxError(err)
		l.mistake(&Mistake{Origin: at(line), Problem: "is not YAML: " + problem})
		return
	}
	var next yaml.Node
	if err := decoder.Decode(&next); err == nil {
		l.mistake(&Mistake{Origin: at(next.Line), Problem: "a second document begins here; there must be one"})
	} else if !errors.Is(err, io.EOF) {
		line, problem := syntaxError(err)
		l.mistake(&Mistake{Origin: at(line), Problem: "is not YAML: " + problem})
	}
	if len(doc.Content) == 0 {
		return
	}
	root := doc.Content[0]
	switch {
	case root.Kind == yaml.MappingNode:
		w := walker{loader: l, file: name, seen: map[string]int{}}
		w.section("", root)
	case root.ShortTag() != "!!null":
		l.mistake(&Mistake{Origin: at(root.Line), Problem: "is not a configuration: there must be keys with values"})
	}
}

var (
	yamlLine   = regexp.MustCompile(`^yaml: line (\d+): `)
	yamlAnchor = regexp.MustCompile(`(?s)unknown anchor '.*' referenced`)
)

// syntaxError takes the line out of a YAML error, and the anchor: that may be a secret which begins with an asterisk.
func syntaxError(err error) (line int, problem string) {
	text := err.Error()
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		line, _ = strconv.Atoi(m[1])
		text = text[len(m[0]):]
	}
	text = yamlAnchor.ReplaceAllString(text, "unknown anchor; put quotes around a value that begins with *")
	return line, strings.TrimPrefix(text, "yaml: ")
}

// walker finds the keys of a document.
type walker struct {
	*loader
	file string
	seen map[string]int // key or section -> line
}

func (w *walker) at(n *yaml.Node) origin { return origin{fromFile, w.file, n.Line} }

// section reads the keys below path. It ends because only the sections of the table have sections below them.
func (w *walker) section(path string, mapping *yaml.Node) {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if w.full() {
			w.unlisted++
			return
		}
		key, value := mapping.Content[i], resolve(mapping.Content[i+1])
		if key.Kind != yaml.ScalarNode {
			w.mistake(&Mistake{Origin: w.at(key).String(), Key: path, Problem: "a key must be a word"})
			continue
		}
		name := key.Value
		if path != "" {
			name = path + "." + key.Value
		}
		if line, ok := w.seen[name]; ok {
			w.mistake(&Mistake{Origin: w.at(key).String(), Key: display(name), Problem: fmt.Sprintf("is there twice, first on line %d", line)})
			continue
		}
		w.seen[name] = key.Line
		w.entry(name, key, value)
	}
}

func (w *walker) entry(name string, key, value *yaml.Node) {
	at := w.at(key).String()
	switch k := find(name); {
	case k != nil:
		w.value(k, key, value)
	case isSection(name) && value.Kind == yaml.MappingNode:
		w.section(name, value)
	case isSection(name) && isNull(value): // all of its keys are commented out
	case isSection(name):
		w.mistake(&Mistake{Origin: at, Key: name, Problem: "is a section: its keys must follow, indented"})
	case planned[name] != "" && isNull(value):
	case planned[name] != "":
		w.mistake(&Mistake{Origin: at, Key: name, Problem: plannedText(name)})
	default:
		w.mistake(&Mistake{Origin: at, Key: display(name), Problem: "there is no such key; the nearest one is " + nearestKey(name)})
	}
}

// Planned says what a key, or the flag of that name, of a later version belongs to; "" when there will be no such key.
func Planned(name string) string { return planned[name] }

func plannedText(name string) string {
	return "belongs to a feature that this version does not have yet: " + planned[name]
}

// value reads a key's value from its node; a key without a value keeps its default.
func (w *walker) value(k *Key, key, value *yaml.Node) {
	at := w.at(key)
	wrong := func(shown, problem string) {
		w.mistake(&Mistake{Origin: at.String(), Key: k.Name, Value: shown, Problem: problem, Valid: k.Valid})
	}
	var items []string
	switch {
	case isNull(value):
		return
	case value.Kind == yaml.SequenceNode && k.List:
		for _, item := range value.Content {
			item = resolve(item)
			if problem := k.scalarProblem(item); problem != "" {
				wrong("", "an item "+problem)
				return
			}
			items = append(items, item.Value)
		}
	case value.Kind == yaml.SequenceNode:
		wrong("", "has a list where one value is needed")
		return
	case k.scalarProblem(value) != "":
		wrong("", k.scalarProblem(value))
		return
	case k.List:
		items = splitList(value.Value)
	default:
		items = []string{value.Value}
	}
	w.accept(k, at, items, func(parsed any) {
		// A path of maps with one leaf merges without touching its neighbours.
		tree := parsed
		for name := k.Name; name != ""; name = parent(name) {
			tree = map[string]any{leaf(name): tree}
		}
		if err := w.viper.MergeConfigMap(tree.(map[string]any)); err != nil {
			wrong("", err.Error())
		}
	})
}

// scalarProblem says why a node cannot be a value. Numbers and text are taken as they are written: a realm of 007 stays 007.
func (k *Key) scalarProblem(n *yaml.Node) string {
	if n.Kind == yaml.MappingNode {
		return "has keys below it where a value is needed"
	}
	if n.Kind != yaml.ScalarNode {
		return "has a list where a value is needed"
	}
	switch tag := n.ShortTag(); {
	case slices.Contains([]string{"!!str", "!!int", "!!float", "!!timestamp"}, tag), tag == "!!bool" && k.Bool:
		return ""
	case tag == "!!bool":
		return "is true or false where a value is needed"
	case tag == "!!null":
		return "has no value"
	}
	return "has a YAML tag that has no meaning here"
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

func resolve(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode && n.Alias != nil {
		return n.Alias
	}
	return n
}

// display makes a key of any file fit for a terminal.
func display(name string) string {
	quoted := shorten(name)
	if quoted == `"`+name+`"` {
		return name
	}
	return quoted
}

// splitList takes a comma-separated list apart.
func splitList(text string) []string {
	if strings.TrimSpace(text) == "" {
		return nil
	}
	items := strings.Split(text, ",")
	for i := range items {
		items[i] = strings.TrimSpace(items[i])
	}
	return items
}
