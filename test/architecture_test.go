// Package test holds what concerns the house as a whole: its architecture
// here, its behaviour against other programs and browsers in the directories.
package test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

const module = "github.com/maitred/maitred/"

// everything lets a package import all of its siblings.
const everything = "*"

// siblings says who may import whom; a directory belongs to the longest entry
// above it. Tests obey as well. A package that is missing here is an error, so
// that nobody adds one without deciding where it belongs.
var siblings = map[string][]string{
	"cmd/maitred":     {"pkg/config", "pkg/daemon", "pkg/icecheck", "pkg/credential", "pkg/token", "pkg/bench", "pkg/bench/signaling"},
	"pkg/daemon":      {everything},
	"pkg/config":      {},
	"pkg/credential":  {},
	"pkg/token":       {},
	"pkg/webhook":     {},
	"pkg/certificate": {"test/harness"},
	"pkg/udpio":       {},
	"pkg/ingress":     {},
	"pkg/relay":       {"pkg/udpio"},
	"pkg/turn":        {"pkg/relay", "pkg/udpio", "pkg/credential", "pkg/ingress"},
	"pkg/signaling":   {"pkg/credential", "pkg/cluster", "pkg/token", "pkg/udpio"},
	"pkg/cluster":     {},
	"pkg/httpd":       {"web", "docs", "pkg/ingress"},
	"pkg/icecheck":    {},
	"pkg/bench":       {},
	"pkg/client":      {"pkg/signaling"},
	"web":             {},
	"docs":            {},
	"test":            {"pkg/config"},
	"test/harness":    {},
	"test/interop":    {"test/harness"},
	"test/faults":     {"test/harness"},

	"pkg/bench/signaling": {"pkg/bench"},
}

// outside says who alone may import a module of others, by import path prefix.
var outside = []struct {
	prefix string
	only   []string
}{
	{"github.com/spf13/viper", []string{"pkg/config"}},
	{"github.com/pion/turn", []string{"pkg/turn"}},
	{"github.com/pion/", []string{"pkg/turn", "pkg/icecheck", "pkg/bench", "pkg/daemon", "test/faults"}},
	{"github.com/caddyserver/certmagic", []string{"pkg/certificate"}},
	{"rsc.io/qr", []string{"pkg/certificate", "pkg/httpd"}},
	{"github.com/coder/websocket", []string{"pkg/signaling", "pkg/client", "pkg/daemon", "pkg/bench/signaling", "test/interop", "test/faults"}},
}

func TestArchitecture(t *testing.T) {
	violations, packages, err := check(os.DirFS(".."))
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range violations {
		t.Error(v)
	}
	for _, want := range []string{"cmd/maitred", "pkg/httpd", "web"} {
		if !slices.Contains(packages, want) {
			t.Errorf("%s was not looked at, only %q", want, packages)
		}
	}
}

// TestCheckerFindsViolations shows that the test above can fail.
func TestCheckerFindsViolations(t *testing.T) {
	const doc = "// Package p does one thing.\npackage p\n"
	for _, test := range []struct {
		name, file, source, want string
	}{
		{"relay knows pion", "pkg/relay/a.go", doc + `import _ "github.com/pion/stun"`, "pkg/relay/a.go imports github.com/pion/stun"},
		{"relay knows signaling", "pkg/relay/a.go", doc + `import _ "github.com/maitred/maitred/pkg/signaling"`, "pkg/relay/a.go imports pkg/signaling"},
		{"signaling knows turn", "pkg/signaling/a.go", doc + `import _ "github.com/maitred/maitred/pkg/turn"`, "pkg/signaling/a.go imports pkg/turn"},
		{"a second reader of configuration", "cmd/maitred/a.go", doc + `import _ "github.com/spf13/viper"`, "cmd/maitred/a.go imports github.com/spf13/viper"},
		{"a second TURN engine", "pkg/icecheck/a.go", doc + `import _ "github.com/pion/turn/v2"`, "pkg/icecheck/a.go imports github.com/pion/turn/v2"},
		{"in a test", "pkg/daemon/a_test.go", doc + `import _ "github.com/pion/turn/v2"`, "pkg/daemon/a_test.go imports github.com/pion/turn/v2"},
		{"for one system only", "pkg/relay/a.go", "//go:build plan9\n\n" + doc + `import _ "github.com/maitred/maitred/pkg/turn"`, "pkg/relay/a.go imports pkg/turn"},
		{"below a package", "pkg/relay/internal/x/a.go", doc + `import _ "github.com/maitred/maitred/web"`, "pkg/relay/internal/x/a.go imports web"},
		{"undecided package", "pkg/helpers/a.go", doc, "pkg/helpers is not in the table"},
		{"no sentence", "pkg/config/a.go", "package p\n", "pkg/config has no doc comment"},
		{"not a sentence", "pkg/config/a.go", "// Package p\npackage p\n", "pkg/config has no doc comment"},
		{"not Go", "pkg/config/a.go", "pakage p\n", "pkg/config/a.go"},
	} {
		t.Run(test.name, func(t *testing.T) {
			violations, _, err := check(fstest.MapFS{test.file: {Data: []byte(test.source)}})
			if err != nil {
				violations = append(violations, err.Error())
			}
			if len(violations) != 1 || !strings.HasPrefix(violations[0], test.want) {
				t.Errorf("got %q, want %q", violations, test.want)
			}
		})
	}
	fine := fstest.MapFS{
		"pkg/daemon/a.go":   {Data: []byte(doc + `import _ "github.com/maitred/maitred/pkg/turn"`)},
		"pkg/daemon/b.go":   {Data: []byte("package p\n" + `import _ "net/http"`)},
		"pkg/relay/x/a.go":  {Data: []byte(doc + `import _ "github.com/maitred/maitred/pkg/relay"`)},
		"pkg/turn/a.go":     {Data: []byte(doc + `import _ "github.com/pion/turn/v2"`)},
		"cmd/maitred/a.go":  {Data: []byte("// Command maitred is the daemon.\npackage main\n")},
		"test/e2e/a.go":     {Data: []byte("package anything")},
		"pkg/turn/testdata": {Data: []byte("not Go")},
	}
	if violations, _, err := check(fine); err != nil || len(violations) != 0 {
		t.Errorf("false alarm: %q %v", violations, err)
	}
}

// check reads every Go file of the module, those of other systems too, and
// tells what breaks the rules and which packages it saw.
func check(root fs.FS) (violations, packages []string, err error) {
	documented := map[string]bool{}
	err = fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && skipped(root, name):
			return fs.SkipDir
		case entry.IsDir() || path.Ext(name) != ".go":
			return nil
		}
		source, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, source, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			return err
		}
		directory := path.Dir(name)
		documented[directory] = documented[directory] || hasSentence(file)
		violations = append(violations, badImports(name, file)...)
		return nil
	})
	for directory, ok := range documented {
		packages = append(packages, directory)
		if owner(directory) == "" {
			violations = append(violations, directory+" is not in the table of packages; decide who may import it")
		} else if !ok {
			violations = append(violations, directory+` has no doc comment that says in a sentence what it does ("Package x ….")`)
		}
	}
	slices.Sort(violations)
	slices.Sort(packages)
	return violations, packages, err
}

// skipped directories are not of this module.
func skipped(root fs.FS, name string) bool {
	if name == "." {
		return false
	}
	base := path.Base(name)
	_, err := fs.Stat(root, path.Join(name, "go.mod"))
	return err == nil || base == "testdata" || base == "node_modules" || name == "test/e2e" || strings.HasPrefix(base, ".")
}

func hasSentence(file *ast.File) bool {
	paragraph, _, _ := strings.Cut(file.Doc.Text(), "\n\n")
	first := strings.Join(strings.Fields(paragraph), " ") + " "
	start := "Package " + strings.TrimSuffix(file.Name.Name, "_test") + " "
	if file.Name.Name == "main" {
		start = "Command "
	}
	return strings.HasPrefix(first, start) && strings.Contains(first, ". ")
}

// owner is the entry of the table that a directory belongs to, "" for none.
func owner(directory string) string {
	for ; directory != "."; directory = path.Dir(directory) {
		if _, ok := siblings[directory]; ok {
			return directory
		}
	}
	return ""
}

func badImports(name string, file *ast.File) (violations []string) {
	own := owner(path.Dir(name))
	for _, spec := range file.Imports {
		imported := strings.Trim(spec.Path.Value, "`\"")
		if sibling, ok := strings.CutPrefix(imported, module); ok {
			allowed := siblings[own]
			target := owner(sibling)
			if target != own && !slices.Contains(allowed, target) && !slices.Contains(allowed, everything) {
				violations = append(violations, fmt.Sprintf("%s imports %s; it may import only %q", name, sibling, allowed))
			}
			continue
		}
		for _, rule := range outside {
			if strings.HasPrefix(imported, rule.prefix) {
				if !slices.Contains(rule.only, own) {
					violations = append(violations, fmt.Sprintf("%s imports %s; only %q may", name, imported, rule.only))
				}
				break
			}
		}
	}
	return violations
}
