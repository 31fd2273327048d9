package interop

import (
	"debug/elf"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

// TestImageBuild does what the Dockerfile's build stage does: only the files it
// copies, exactly its go build. The result must run in an empty image.
func TestImageBuild(t *testing.T) {
	dockerfile, err := os.ReadFile(filepath.Join(top, "deploy", "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(dockerfile), "\\\n", " ")
	line := regexp.MustCompile(`(?m)^RUN (.*go build [^&\n]*\./cmd/maitred)`).FindStringSubmatch(text)
	if line == nil {
		t.Fatalf("no go build in:\n%s", text)
	}
	source := t.TempDir()
	for _, copied := range regexp.MustCompile(`(?m)^COPY ([^-].*)$`).FindAllStringSubmatch(text, -1) {
		names := strings.Fields(copied[1])
		for _, name := range names[:len(names)-1] {
			copyTree(t, filepath.Join(top, name), filepath.Join(source, name))
		}
	}
	binary := filepath.Join(t.TempDir(), "maitred")
	const built = "/root-fs/usr/bin/maitred"
	if !strings.Contains(line[1], built) {
		t.Fatalf("the build does not write %s: %s", built, line[1])
	}
	build := exec.Command("sh", "-c", strings.ReplaceAll(line[1], built, binary))
	build.Dir = source
	build.Env = append(os.Environ(), "TARGETOS=linux", "TARGETARCH="+runtime.GOARCH, "VERSION=1.2.3-test", "COMMIT=abcdef0")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", line[1], err, output)
	}
	file, err := elf.Open(binary)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, program := range file.Progs {
		if program.Type == elf.PT_INTERP {
			t.Error("the binary asks for an interpreter, which an empty image does not have")
		}
	}
	run := exec.Command(binary, "version")
	run.Env = []string{}
	output, err := run.CombinedOutput()
	if err != nil || !strings.Contains(string(output), "1.2.3-test") || !strings.Contains(string(output), "abcdef0") {
		t.Errorf("version: %v\n%s", err, output)
	}
}

func copyTree(t *testing.T, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && entry.Name() == "node_modules" {
			return fs.SkipDir
		}
		relative, err := filepath.Rel(from, name)
		if err != nil {
			return err
		}
		target := filepath.Join(to, relative)
		if entry.IsDir() {
			return os.MkdirAll(target, 0o755)
		}
		content, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		return os.WriteFile(target, content, 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
}
