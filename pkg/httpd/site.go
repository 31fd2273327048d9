package httpd

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
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

// minGzip is the size in bytes from which a file is compressed. A smaller one
// travels in one packet either way.
const minGzip = 1 << 10

// site is the embedded page, read, compressed and hashed once.
type site struct {
	files map[string]siteFile // by path, without the directory "static" of the page's own files
}

type siteFile struct {
	mime        string
	plain, gzip form // gzip has no body where compressing does not pay
}

// form is a file as it travels. Each has a strong ETag of its own, because
// their bytes differ (RFC 9110 section 8.8.3.3).
type form struct {
	body []byte
	etag string
}

func newForm(body []byte) form {
	sum := sha256.Sum256(body)
	return form{body, `"` + hex.EncodeToString(sum[:12]) + `"`}
}

// loadSite reads the embedded page once: compressing it takes a moment, and it is the same for every server.
var loadSite = sync.OnceValues(func() (*site, error) { return readSite(web.Files) })

func readSite(from fs.FS) (*site, error) {
	s := &site{files: map[string]siteFile{}}
	zip, err := gzip.NewWriterLevel(nil, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	err = fs.WalkDir(from, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		body, err := fs.ReadFile(from, name)
		if err != nil {
			return err
		}
		s.files[strings.TrimPrefix(name, "static/")], err = newSiteFile(zip, name, body)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the embedded page: %w", err)
	}
	return s, nil
}

func newSiteFile(zip *gzip.Writer, name string, body []byte) (siteFile, error) {
	f := siteFile{mime: mimeTypes[path.Ext(name)], plain: newForm(body)}
	if f.mime == "" {
		f.mime = "application/octet-stream"
	}
	if len(body) < minGzip || !isText(f.mime) {
		return f, nil
	}
	small, err := compress(zip, body)
	if err != nil {
		return siteFile{}, fmt.Errorf("compress %s: %w", name, err)
	}
	if len(small)*10 <= len(body)*9 {
		f.gzip = newForm(small)
	}
	return f, nil
}

// isText reports whether files of this type shrink; pictures, sounds and fonts
// are compressed already.
func isText(mime string) bool {
	return strings.HasPrefix(mime, "text/") || strings.HasSuffix(mime, "json") || strings.HasSuffix(mime, "+xml")
}

// compress uses zip for one body after the other: its tables are large.
func compress(zip *gzip.Writer, body []byte) ([]byte, error) {
	var out bytes.Buffer
	zip.Reset(&out)
	if _, err := zip.Write(body); err != nil {
		return nil, err
	}
	if err := zip.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
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

// sdk serves the client library and its types, the one thing that pages of
// other origins are meant to import.
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
	// Asked again every time, answered with 304: a new version shows at once.
	h.Set("Cache-Control", "no-cache")
	chosen := f.plain
	if f.gzip.body != nil {
		h.Add("Vary", "Accept-Encoding")
		if wantsGzip(r.Header) {
			chosen, w = f.gzip, gzipWriter{w}
		}
	}
	h.Set("ETag", chosen.etag)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(chosen.body))
}

// gzipWriter names the coding only on answers that carry the compressed bytes:
// http.ServeContent also writes errors, and it leaves Content-Length out where
// it finds a coding set.
type gzipWriter struct{ http.ResponseWriter }

func (w gzipWriter) WriteHeader(status int) {
	if status == http.StatusOK || status == http.StatusPartialContent {
		w.Header().Set("Content-Encoding", "gzip")
	}
	w.ResponseWriter.WriteHeader(status)
}

// wantsGzip chooses the form. Several ranges travel as a multipart, whose parts
// cannot say that they are compressed.
func wantsGzip(h http.Header) bool {
	return acceptsGzip(h.Values("Accept-Encoding")) && !strings.Contains(h.Get("Range"), ",")
}

// acceptsGzip reads Accept-Encoding (RFC 9110 section 12.5.3): gzip must be
// taken, and not less gladly than the plain form. Elements that break the
// grammar count as absent, and so does a missing header; plain suits everyone.
func acceptsGzip(lines []string) bool {
	const unsaid = -1
	zipped, plain, others := unsaid, unsaid, unsaid
	for _, line := range lines {
		for element := range strings.SplitSeq(line, ",") {
			coding, weight, ok := parseCoding(element)
			if !ok {
				continue
			}
			switch strings.ToLower(coding) {
			case "gzip", "x-gzip":
				zipped = weight
			case "identity":
				plain = weight
			case "*":
				others = weight
			}
		}
	}
	if zipped == unsaid {
		zipped = others
	}
	if plain == unsaid {
		plain = others
	}
	return zipped > 0 && zipped >= plain
}

// parseCoding reads one element, as in "gzip;q=0.8", its weight in thousandths.
func parseCoding(element string) (coding string, weight int, ok bool) {
	coding, parameter, weighted := strings.Cut(element, ";")
	coding = strings.TrimSpace(coding)
	if !weighted {
		return coding, 1000, true
	}
	name, value, _ := strings.Cut(strings.TrimSpace(parameter), "=")
	weight, ok = parseWeight(value)
	return coding, weight, ok && strings.EqualFold(name, "q")
}

// parseWeight reads a qvalue (RFC 9110 section 12.4.2): from 0 to 1 with at most
// three decimals.
func parseWeight(s string) (thousandths int, ok bool) {
	whole, decimals, _ := strings.Cut(s, ".")
	if len(whole) != 1 || len(decimals) > 3 {
		return 0, false
	}
	n, err := strconv.ParseUint(whole+(decimals + "000")[:3], 10, 16)
	return int(n), err == nil && n <= 1000
}
