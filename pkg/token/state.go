package token

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// keyFile is where a generated key lives below the state directory.
const keyFile = "join-token-key"

// LoadOrCreateKey returns the HS256 key kept in stateDir, as a line that ParseKey reads, and makes one when there is none, readable by the owner
// only. Two processes that start at the same time end up with the same key.
func LoadOrCreateKey(stateDir string) (line string, err error) {
	path := filepath.Join(stateDir, keyFile)
	line, err = readKey(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return line, err
	}
	if line, err = Generate(HS256, ""); err != nil {
		return "", err
	}
	if err := os.MkdirAll(stateDir, 0o700); err != nil {
		return "", fmt.Errorf("make the state directory for the generated join token key: %w", err)
	}
	tmp, err := os.CreateTemp(stateDir, keyFile+".*") // mode 0600
	if err != nil {
		return "", fmt.Errorf("keep the generated join token key in the state directory: %w", err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.WriteString(line + "\n")
	if err := errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return "", fmt.Errorf("write the generated join token key: %w", err)
	}
	// A hard link, unlike a rename, never replaces the key that another process has just put there.
	if err := os.Link(tmp.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("keep the generated join token key: %w", err)
	}
	return readKey(path)
}

func readKey(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read the generated join token key: %w", err)
	}
	line := strings.TrimSpace(string(b))
	if _, err := ParseKey(line); err != nil {
		return "", fmt.Errorf("%s has no key in it (%w): delete it and a new one is made", path, err)
	}
	return line, nil
}
