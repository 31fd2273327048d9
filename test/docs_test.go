package test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/maitred/maitred/pkg/config"
)

var (
	documentedKey   = regexp.MustCompile("`((?:http|https|tls|api|turn|signaling|webhooks|admin|log)\\.[a-z_.]*[a-z])`")
	documentedLimit = regexp.MustCompile("(?m)^\\|[^|]*\\| `([^`|]*)` \\| `([a-z_.]+)` \\|")
)

// TestProtocolNamesKeys compares the configuration keys and defaults that the protocol's document names with those that there are.
func TestProtocolNamesKeys(t *testing.T) {
	raw, err := os.ReadFile("../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	doc := string(raw)
	defaults := map[string]string{}
	for _, k := range config.Keys() {
		defaults[k.Name] = k.Default
	}
	for _, match := range documentedKey.FindAllStringSubmatch(doc, -1) {
		if _, ok := defaults[match[1]]; !ok {
			t.Errorf("there is no %s", match[1])
		}
	}
	told := map[string]bool{}
	for _, match := range documentedLimit.FindAllStringSubmatch(doc, -1) {
		value, key := match[1], match[2]
		told[key] = true
		if defaults[key] != value {
			t.Errorf("%s is %q by default, not %q", key, defaults[key], value)
		}
	}
	for key := range defaults {
		if strings.HasPrefix(key, "signaling.limits.") && !told[key] {
			t.Errorf("%s is in no table", key)
		}
	}
}
