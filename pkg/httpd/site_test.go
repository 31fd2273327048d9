package httpd

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"path"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/maitred/maitred/web"
)

// forbidden finds in a page what its own Content-Security-Policy would block.
var forbidden = regexp.MustCompile(`(?i)<script(?:\s[^>]*)?>\s*[^<\s]|<style|\sstyle=|\son[a-z]+=|javascript:`)

// TestEmbeddedSite looks at the files that are really in the binary.
func TestEmbeddedSite(t *testing.T) {
	s, err := loadSite()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"index.html", "call.html", "style.css", "sdk/maitred.js", "sdk/maitred.d.ts"} {
		if len(s.files[name].plain.body) == 0 {
			t.Errorf("%s is missing", name)
		}
	}
	for name, file := range s.files {
		if mimeTypes[path.Ext(name)] == "" {
			t.Errorf("%s would be served as %s", name, file.mime)
		}
		if found := forbidden.Find(file.plain.body); path.Ext(name) == ".html" && found != nil {
			t.Errorf("%s has %q, which the Content-Security-Policy blocks", name, found)
		}
	}
	for _, bad := range []string{"<script>x()</script>", "<script type=module>\nx", `<p style="color:red">`, `<a onclick="x()">`} {
		if !forbidden.MatchString(bad) {
			t.Errorf("%q would not be noticed", bad)
		}
	}
}

// TestSDK: pages of any origin get the client library with its types, and nothing else of its package.
func TestSDK(t *testing.T) {
	s, err := New(Config{Listen: "127.0.0.1:0", AdminListen: "off"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	server := httptest.NewServer(s.publicHandler())
	t.Cleanup(server.Close)
	for path, mime := range map[string]string{
		"/sdk/maitred.js":          "text/javascript; charset=utf-8",
		"/sdk/maitred.d.ts":        "text/plain; charset=utf-8",
		"/sdk/package.json":        "",
		"/sdk/README.md":           "",
		"/assets/static/style.css": "",
	} {
		got := ask(t, "GET", server.URL+path, "", "Origin: "+testOrigin)
		switch {
		case mime == "" && got.status != 404:
			t.Errorf("%s: %d, want 404", path, got.status)
		case mime != "" && (got.status != 200 || got.header.Get("Content-Type") != mime || got.header.Get("Access-Control-Allow-Origin") != "*"):
			t.Errorf("%s: %d %v", path, got.status, got.header)
		}
	}
	const most = 10_000 // bytes, what the client promises
	got := ask(t, "GET", server.URL+"/sdk/maitred.js", "", "Accept-Encoding: gzip")
	if got.header.Get("Content-Encoding") != "gzip" || len(got.body) > most {
		t.Errorf("the client travels as %d bytes of %q, want at most %d of gzip", len(got.body), got.header.Get("Content-Encoding"), most)
	}
}

// TestLobbyTransfer fetches what the lobby is made of as a browser does.
func TestLobbyTransfer(t *testing.T) {
	s, err := loadSite()
	if err != nil {
		t.Fatal(err)
	}
	url := serveSite(t, s)
	files, plain, zipped := 0, 0, 0
	for name, file := range s.files {
		if !strings.HasPrefix(name, "app/") && !strings.HasPrefix(name, "sdk/") && name != "index.html" && name != "style.css" {
			continue
		}
		got := ask(t, "GET", url+name, "", "Accept-Encoding: gzip, deflate, br, zstd")
		if got.status != 200 || content(t, got) != string(file.plain.body) {
			t.Errorf("%s: %d, or not the file", name, got.status)
		}
		files++
		plain += len(file.plain.body)
		zipped += len(got.body)
	}
	t.Logf("the lobby is %d files: %d bytes plain, %d compressed", files, plain, zipped)
	if files < 3 || zipped*2 >= plain {
		t.Errorf("%d files of %d bytes travel as %d, want less than half", files, plain, zipped)
	}
}

// serveSite serves the files of s under their names until the test ends.
func serveSite(t *testing.T, s *site) (url string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.serve(w, r, r.URL.Path)
	}))
	t.Cleanup(server.Close)
	return server.URL + "/"
}

// content is the body of got without its coding.
func content(t *testing.T, got answer) string {
	t.Helper()
	if got.header.Get("Content-Encoding") == "" {
		return got.body
	}
	r, err := gzip.NewReader(strings.NewReader(got.body))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var (
	longText = strings.Repeat("a line of text that repeats itself\n", 100)
	// longNoise is text that gzip cannot make a tenth smaller.
	longNoise = noise(4 << 10)
)

// noise is n bytes in which nothing repeats (a xorshift generator's).
func noise(n int) string {
	out := make([]byte, n)
	x := uint32(2463534242)
	for i := range out {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		out[i] = byte(x >> 24)
	}
	return string(out)
}

func madeUpSite(t *testing.T) *site {
	t.Helper()
	files := fstest.MapFS{
		"below.js": {Data: []byte(longText[:minGzip-1])},
		"least.js": {Data: []byte(longText[:minGzip])},
		"noise.js": {Data: []byte(longNoise)},
		"a.bin":    {Data: []byte(longText)},
	}
	for ext := range mimeTypes {
		files["long"+ext] = &fstest.MapFile{Data: []byte(longText)}
	}
	s, err := readSite(files)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestWhatIsCompressed(t *testing.T) {
	s := madeUpSite(t)
	want := map[string]bool{"least.js": true, "long.html": true, "long.css": true, "long.js": true, "long.mjs": true, "long.ts": true,
		"long.json": true, "long.webmanifest": true, "long.svg": true, "long.txt": true}
	for name, file := range s.files {
		if got := file.gzip.body != nil; got != want[name] {
			t.Errorf("%s: compressed %t, want %t", name, got, want[name])
		}
	}
}

// TestETagsOutliveStarts: a form that differed between two starts would be
// fetched again after each.
func TestETagsOutliveStarts(t *testing.T) {
	one, two := madeUpSite(t), madeUpSite(t)
	for name, file := range one.files {
		if again := two.files[name]; file.plain.etag != again.plain.etag || file.gzip.etag != again.gzip.etag {
			t.Errorf("%s: ETags %s and %s, then %s and %s", name, file.plain.etag, file.gzip.etag, again.plain.etag, again.gzip.etag)
		}
	}
}

func TestForms(t *testing.T) {
	url := serveSite(t, madeUpSite(t))
	for _, test := range []struct {
		name, file, accept, encoding, vary string
	}{
		{"gzip", "long.js", "gzip", "gzip", "Accept-Encoding"},
		{"a browser", "long.js", "gzip, deflate, br, zstd", "gzip", "Accept-Encoding"},
		{"nothing said", "long.js", "", "", "Accept-Encoding"},
		{"gzip refused", "long.js", "gzip;q=0", "", "Accept-Encoding"},
		{"small file", "below.js", "gzip", "", ""},
		{"file that does not shrink", "noise.js", "gzip", "", ""},
		{"picture", "long.png", "gzip", "", ""},
		{"unknown kind", "a.bin", "gzip", "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			plain := ask(t, "GET", url+test.file, "")
			got := ask(t, "GET", url+test.file, "", "Accept-Encoding: "+test.accept)
			if got.status != 200 || content(t, got) != plain.body {
				t.Errorf("got %d and %d bytes that are not the file", got.status, len(got.body))
			}
			for name, want := range map[string]string{
				"Content-Encoding": test.encoding,
				"Vary":             test.vary,
				"Content-Length":   strconv.Itoa(len(got.body)),
				"Content-Type":     mimeOf(test.file),
				"Cache-Control":    "no-cache",
			} {
				if value := got.header.Get(name); value != want {
					t.Errorf("%s: %q, want %q", name, value, want)
				}
			}
			etag := got.header.Get("ETag")
			if !strings.HasPrefix(etag, `"`) || (etag == plain.header.Get("ETag")) != (test.encoding == "") {
				t.Errorf("ETag %s, of the plain form %s", etag, plain.header.Get("ETag"))
			}
			head := ask(t, "HEAD", url+test.file, "", "Accept-Encoding: "+test.accept)
			for _, name := range []string{"Content-Length", "Content-Encoding", "Vary", "ETag"} {
				if head.status != 200 || head.header.Get(name) != got.header.Get(name) {
					t.Errorf("HEAD: %d %s %q, want %q", head.status, name, head.header.Get(name), got.header.Get(name))
				}
			}
		})
	}
}

func mimeOf(name string) string {
	if mime := mimeTypes[path.Ext(name)]; mime != "" {
		return mime
	}
	return "application/octet-stream"
}

// TestConditions: what the client has is compared with the form it would get.
func TestConditions(t *testing.T) {
	s := madeUpSite(t)
	url := serveSite(t, s) + "long.js"
	plain, zipped := s.files["long.js"].plain, s.files["long.js"].gzip
	const gzipped = "Accept-Encoding: gzip"
	for _, test := range []struct {
		name    string
		headers []string
		status  int
		etag    string
		body    []byte
	}{
		{"has the plain form", []string{"If-None-Match: " + plain.etag}, 304, plain.etag, nil},
		{"has the compressed form", []string{gzipped, "If-None-Match: " + zipped.etag}, 304, zipped.etag, nil},
		{"has it, by a proxy that weakened the tag", []string{gzipped, "If-None-Match: W/" + zipped.etag}, 304, zipped.etag, nil},
		{"has both", []string{gzipped, "If-None-Match: " + plain.etag + ", " + zipped.etag}, 304, zipped.etag, nil},
		{"has both, takes the plain form", []string{"If-None-Match: " + plain.etag + ", " + zipped.etag}, 304, plain.etag, nil},
		{"has any", []string{gzipped, "If-None-Match: *"}, 304, zipped.etag, nil},
		{"has the plain form, takes gzip", []string{gzipped, "If-None-Match: " + plain.etag}, 200, zipped.etag, zipped.body},
		{"has the compressed form, takes plain", []string{"If-None-Match: " + zipped.etag}, 200, plain.etag, plain.body},
		{"has an old one", []string{gzipped, `If-None-Match: "old"`}, 200, zipped.etag, zipped.body},
		{"range", []string{"Range: bytes=5-9"}, 206, plain.etag, plain.body[5:10]},
		{"range of the compressed form", []string{gzipped, "Range: bytes=5-9"}, 206, zipped.etag, zipped.body[5:10]},
		{"rest of the compressed form", []string{gzipped, "Range: bytes=5-", "If-Range: " + zipped.etag}, 206, zipped.etag, zipped.body[5:]},
		{"rest of the other form", []string{gzipped, "Range: bytes=5-", "If-Range: " + plain.etag}, 200, zipped.etag, zipped.body},
		{"still the same", []string{gzipped, "If-Match: " + zipped.etag}, 200, zipped.etag, zipped.body},
		{"no longer the same", []string{gzipped, `If-Match: "old"`}, 412, zipped.etag, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := ask(t, "GET", url, "", test.headers...)
			if got.status != test.status || got.body != string(test.body) {
				t.Errorf("got %d and %d bytes, want %d and %d", got.status, len(got.body), test.status, len(test.body))
			}
			if etag := got.header.Get("ETag"); etag != test.etag {
				t.Errorf("ETag %s, want %s", etag, test.etag)
			}
			if vary := got.header.Get("Vary"); vary != "Accept-Encoding" {
				t.Errorf("Vary %q", vary)
			}
			if coded := got.header.Get("Content-Encoding") != ""; coded != (test.body != nil && test.etag == zipped.etag) {
				t.Errorf("Content-Encoding %q with %d bytes of %s", got.header.Get("Content-Encoding"), len(got.body), got.header.Get("ETag"))
			}
		})
	}
	t.Run("beyond the end", func(t *testing.T) {
		got := ask(t, "GET", url, "", gzipped, "Range: bytes=1000000-")
		if got.status != 416 || got.header.Get("Content-Encoding") != "" || got.header.Get("Content-Range") != "bytes */"+strconv.Itoa(len(zipped.body)) {
			t.Errorf("got %d %v", got.status, got.header)
		}
	})
	t.Run("several ranges", func(t *testing.T) {
		got := ask(t, "GET", url, "", gzipped, "Range: bytes=0-9,100-109")
		if got.status != 206 || got.header.Get("Content-Encoding") != "" || got.header.Get("ETag") != plain.etag ||
			!strings.Contains(got.body, longText[:10]) || !strings.Contains(got.body, longText[100:110]) {
			t.Errorf("got %d %v %q", got.status, got.header, got.body)
		}
	})
}

// TestAcceptsGzip is RFC 9110 section 12.5.3.
func TestAcceptsGzip(t *testing.T) {
	for _, test := range []struct {
		name  string
		lines []string
		want  bool
	}{
		{"no header", nil, false},
		{"empty", []string{""}, false},
		{"gzip", []string{"gzip"}, true},
		{"another case", []string{"GZip"}, true},
		{"its old name", []string{"x-gzip"}, true},
		{"among others", []string{"br, deflate , gzip"}, true},
		{"second line", []string{"br", "gzip"}, true},
		{"others only", []string{"br, zstd"}, false},
		{"longer name", []string{"gzipped"}, false},
		{"empty elements", []string{",, gzip ,"}, true},
		{"weight", []string{"gzip;q=0.5"}, true},
		{"weight with space and another case", []string{"gzip ; Q=0.5"}, true},
		{"smallest weight", []string{"gzip;q=0.001"}, true},
		{"full weight", []string{"gzip;q=1.000"}, true},
		{"weight without decimals", []string{"gzip;q=1."}, true},
		{"refused", []string{"gzip;q=0"}, false},
		{"refused at length", []string{"gzip;q=0.000"}, false},
		{"refused, others not", []string{"gzip;q=0, *"}, false},
		{"anything", []string{"*"}, true},
		{"anything at all", []string{"*;q=0.1"}, true},
		{"nothing else", []string{"*;q=0"}, false},
		{"gzip and nothing else", []string{"gzip, *;q=0"}, true},
		{"identity only", []string{"identity"}, false},
		{"identity refused", []string{"identity;q=0"}, false},
		{"identity refused, gzip not", []string{"identity;q=0, gzip;q=0.2"}, true},
		{"identity less gladly", []string{"gzip;q=1.0, identity; q=0.5, *;q=0"}, true},
		{"identity as gladly", []string{"identity, gzip"}, true},
		{"identity more gladly", []string{"gzip;q=0.5, identity"}, false},
		{"anything else more gladly", []string{"gzip;q=0.5, *"}, false},
		{"identity as anything else", []string{"identity;q=0.5, *;q=0.4"}, false},
		{"not a number", []string{"gzip;q=much"}, false},
		{"no weight", []string{"gzip;q="}, false},
		{"negative", []string{"gzip;q=-1"}, false},
		{"above one", []string{"gzip;q=1.001"}, false},
		{"four decimals", []string{"gzip;q=0.1234"}, false},
		{"exponent", []string{"gzip;q=1e0"}, false},
		{"signed decimals", []string{"gzip;q=0.+1"}, false},
		{"another parameter", []string{"gzip;level=1"}, false},
		{"two parameters", []string{"gzip;q=1;q=1"}, false},
		{"bad element beside a good one", []string{"gzip;q=x, *;q=0.5"}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := acceptsGzip(test.lines); got != test.want {
				t.Errorf("%q: got %t", test.lines, got)
			}
		})
	}
}

// BenchmarkReadSite is what the page adds to the time the daemon takes to start.
func BenchmarkReadSite(b *testing.B) {
	for b.Loop() {
		if _, err := readSite(web.Files); err != nil {
			b.Fatal(err)
		}
	}
}
