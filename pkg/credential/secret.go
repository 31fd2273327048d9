package credential

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// secretFile is where a generated secret lives below the state directory.
const secretFile = "turn-secret"

// LoadOrCreateSecret returns the secret kept in dir and makes one when there is none, readable by the owner only. Two processes
// that start at the same time end up with the same secret.
func LoadOrCreateSecret(dir string) (string, error) {
	path := filepath.Join(dir, secretFile)
	secret, err := readSecret(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return secret, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("make the state directory for the generated secret: %w", err)
	}
	tmp, err := os.CreateTemp(dir, secretFile+".*") // mode 0600
	if err != nil {
		return "", fmt.Errorf("keep the generated secret in the state directory: %w", err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.WriteString(randomID(25) + "\n")
	if err := errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return "", fmt.Errorf("write the generated secret: %w", err)
	}
	// A hard link, unlike a rename, never replaces the secret that another process has just put there.
	if err := os.Link(tmp.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("keep the generated secret: %w", err)
	}
	return readSecret(path)
}

func readSecret(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read the generated secret: %w", err)
	}
	secret := strings.TrimSpace(string(b))
	if secret == "" {
		return "", fmt.Errorf("%s is empty: delete it and a new secret is made", path)
	}
	return secret, nil
}
