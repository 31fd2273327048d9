package config

import (
	"flag"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

const sampleFile = "../../configs/maitred.yaml"

var update = flag.Bool("update", false, "write configs/maitred.yaml anew")

// sample is configs/maitred.yaml: the table as a file. Its keys are comments, so that a copy of it keeps the defaults
// of the version that reads it.
func sample() string {
	var b strings.Builder
	b.WriteString(`# The configuration of maitred: every key with its default. Uncomment what you change; "maitred config --config FILE"
# checks the file and prints what is in effect. Every key is also an environment variable (turn.external_ip is
# MAITRED_TURN_EXTERNAL_IP, lists are comma-separated, MAITRED_TURN_SECRETS_FILE names a file that holds a secret)
# and a flag (--turn.external_ip). Flags win over the environment, and that wins over this file.
# This file is made from pkg/config/keys.go: go test ./pkg/config -run Sample -update
`)
	open := ""
	for _, k := range Keys() {
		section := parent(k.Name)
		if top, _, _ := strings.Cut(section, "."); section == "" || top != strings.Split(open, ".")[0] {
			b.WriteByte('\n')
		}
		for _, s := range []string{parent(section), section} {
			if s != "" && s != open && !strings.HasPrefix(open, s+".") && parent(open) != s {
				b.WriteString(indent(s) + leaf(s) + ":\n")
			}
		}
		open = section
		doc := k.Doc
		if k.Empty != "" && k.Default == "" {
			doc += " Default: " + k.Empty + "."
		}
		b.WriteString(indent(k.Name) + "# " + doc + "\n" + indent(k.Name) + "#" + leaf(k.Name) + ": " + sampleValue(k) + "\n")
	}
	return b.String()
}

func sampleValue(k Key) string {
	switch {
	case k.Name == "state_dir":
		return "/var/lib/maitred"
	case k.Default == "" && k.List:
		return "[]"
	case k.Default == "" || strings.Contains(k.Default, ":"):
		return `"` + k.Default + `"`
	}
	return k.Default
}

func indent(name string) string { return strings.Repeat("  ", strings.Count(name, ".")) }

var commented = regexp.MustCompile(`(?m)^( *)#([a-z_]+:)`)

func uncomment(text string) string { return commented.ReplaceAllString(text, "$1$2") }

func TestSample(t *testing.T) {
	if *update {
		if err := os.WriteFile(sampleFile, []byte(sample()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(sampleFile)
	if err != nil {
		t.Fatal(err)
	}
	if string(data) != sample() {
		t.Fatal("configs/maitred.yaml is not what the table says: go test ./pkg/config -run Sample -update")
	}
	opts := Options{Env: []string{"STATE_DIRECTORY=/var/lib/maitred"}}
	defaults, _ := mustLoad(t, opts)
	opts.File = sampleFile
	asIs, _ := mustLoad(t, opts)
	opts.File = writeFile(t, "maitred.yaml", uncomment(string(data)))
	live, report := mustLoad(t, opts)
	if !reflect.DeepEqual(asIs, defaults) || !reflect.DeepEqual(live, defaults) {
		t.Errorf("defaults   %+v\nas it is   %+v\nuncommented %+v", defaults, asIs, live)
	}
	for _, v := range report.Values {
		if !strings.HasPrefix(v.Origin, "file ") {
			t.Errorf("%s is not in configs/maitred.yaml", v.Key)
		}
	}
	if len(report.Warnings) > 0 {
		t.Errorf("warnings: %q", report.Warnings)
	}
}

func TestKeysAreDescribed(t *testing.T) {
	for _, k := range Keys() {
		if k.Doc == "" || strings.Contains(k.Doc, "\n") || !strings.HasSuffix(k.Doc, ".") || k.Valid == "" {
			t.Errorf("%s: doc %q, valid %q", k.Name, k.Doc, k.Valid)
		}
		if _, ok := planned[k.Name]; ok {
			t.Errorf("%s is a key of this version and of a later one", k.Name)
		}
	}
}
