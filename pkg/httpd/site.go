package httpd

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/maitred/maitred/web"
)

// mimeTypes are named here because the system's tables differ between
// machines, and browsers refuse a module script of a wrong type.
var mimeTypes = map[string]string{
	".html":        "text/html; charset=utf-8",
	".css":         "text/css; charset=utf-8",
	".js":          "text/javascript; charset=utf-8",
	".mjs":         "text/javascript; charset=utf-8",
	".ts":          "text/plain; charset=utf-8",
	".json":        "application/json",
	".webmanifest": "application/manifest+json",
	".svg":         "image/svg+xml",
	".png":         "image/png",
	".jpg":         "image/jpeg",
	".webp":        "image/webp",
	".ico":         "image/x-icon",
	".woff2":       "font/woff2",
	".txt":         "text/plain; charset=utf-8",
	".wav":         "audio/wav",
	".mp3":         "audio/mpeg",
}

// site is the embedded page, read and hashed once.
type site struct {
	files map[string]siteFile
}

type siteFile struct {
	body       []byte
	mime, etag string
}

func loadSite() (*site, error) { return readSite(web.Files) }

func readSite(from fs.FS) (*site, error) {
	s := &site{files: map[string]siteFile{}}
	err := fs.WalkDir(from, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		body, err := fs.ReadFile(from, name)
		if err != nil {
			return err
		}
		mime := mimeTypes[path.Ext(name)]
		if mime == "" {
			mime = "application/octet-stream"
		}
		sum := sha256.Sum256(body)
		s.files[name] = siteFile{body, mime, `"` + hex.EncodeToString(sum[:12]) + `"`}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the embedded page: %w", err)
	}
	return s, nil
}

func (s *site) page(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, name) }
}

// asset serves what the pages are made of. The pages themselves have their
// own addresses and are not shown here.
func (s *site) asset(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("path")
	if path.Ext(name) == ".html" {
		notFound(w, r)
		return
	}
	s.serve(w, r, name)
}

// sdk serves the client library, the one thing that pages of other origins
// are meant to import.
func (s *site) sdk(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Access-Control-Allow-Origin", "*")
	s.serve(w, r, "sdk/"+r.PathValue("path"))
}

func (s *site) serve(w http.ResponseWriter, r *http.Request, name string) {
	f, ok := s.files[strings.TrimPrefix(name, "/")]
	if !ok {
		notFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", f.mime)
	h.Set("ETag", f.etag)
	// Asked again every time, answered with 304: a new version shows at once.
	h.Set("Cache-Control", "no-cache")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(f.body))
}
