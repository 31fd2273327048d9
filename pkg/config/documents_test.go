package config

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

var (
	variableName = regexp.MustCompile(`MAITRED_[A-Z0-9_]+`)
	keyName      = regexp.MustCompile("`((?:http|api|turn|signaling|check|webhooks|admin|log)\\.[a-z_.]+[a-z])`")
)

// TestNamesInDocuments finds variables and keys that what people copy from names, and that do not exist.
func TestNamesInDocuments(t *testing.T) {
	files, err := filepath.Glob("../../deploy/*")
	if err != nil || len(files) == 0 {
		t.Fatalf("deploy has %d files: %v", len(files), err)
	}
	files = append(files, "../../README.md", "../../README.zh-CN.md", "../../docs/operations.md", "../../docs/decisions/0001-configuration.md")
	variables := map[string]bool{"MAITRED_TRUN_UDP": true} // an example of a typing error
	for _, k := range Keys() {
		variables[k.Env()] = true
		variables[k.Env()+fileSuffix] = k.Secret
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range variableName.FindAllString(string(data), -1) {
			if !variables[name] {
				t.Errorf("%s: there is no %s", file, name)
			}
		}
		for _, match := range keyName.FindAllStringSubmatch(string(data), -1) {
			if find(match[1]) == nil && !isSection(match[1]) {
				t.Errorf("%s: there is no %s", file, match[1])
			}
		}
	}
}

// TestComposeFiles loads the configurations that the compose files make, on top of what the image sets.
func TestComposeFiles(t *testing.T) {
	for file, ports := range map[string]string{"compose.yaml": "49152-65535", "compose.ports.yaml": "none"} {
		data, err := os.ReadFile("../../deploy/" + file)
		if err != nil {
			t.Fatal(err)
		}
		var compose struct {
			Services map[string]struct{ Environment map[string]string }
		}
		if err := yaml.Unmarshal(data, &compose); err != nil {
			t.Fatal(err)
		}
		env := []string{"MAITRED_STATE_DIR=/var/lib/maitred", "MAITRED_TURN_RELAY_PORTS=none"}
		for name, value := range compose.Services["maitred"].Environment {
			switch {
			case strings.HasPrefix(value, "${EXTERNAL_IP:"):
				value = "203.0.113.7"
			case strings.HasPrefix(value, "${MAITRED_DOMAIN:"):
				value = "call.example.com"
			}
			env = append(env, name+"="+value)
		}
		cfg, report := mustLoad(t, Options{Env: env})
		if len(report.Warnings) > 0 || cfg.TURN.RelayPorts.String() != ports || cfg.Domain != "call.example.com" || cfg.HTTPS.Listen != ":443" || len(cfg.TURN.ExternalIP) != 1 {
			t.Errorf("%s: %+v, warnings %q", file, cfg, report.Warnings)
		}
	}
}
