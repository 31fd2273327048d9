package httpd

import (
	"testing"

	"github.com/maitred/maitred/docs"
)

func TestDocuments(t *testing.T) {
	s := run(t, publicConfig())
	for name, mime := range map[string]string{
		"openapi.json": "application/json", "protocol.schema.json": "application/json", "protocol.md": "text/markdown; charset=utf-8",
	} {
		t.Run(name, func(t *testing.T) {
			want, err := docs.Files.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			got := ask(t, "GET", s.url("/api/v1/"+name), "", "Origin: "+testOrigin)
			if got.status != 200 || got.body != string(want) {
				t.Errorf("%d with %d bytes, want the document's %d", got.status, len(got.body), len(want))
			}
			for header, want := range map[string]string{"Content-Type": mime, "Access-Control-Allow-Origin": "*", "Cache-Control": "no-cache"} {
				if value := got.header.Get(header); value != want {
					t.Errorf("%s: %q, want %q", header, value, want)
				}
			}
			again := ask(t, "GET", s.url("/api/v1/"+name), "", "If-None-Match: "+got.header.Get("ETag"))
			if again.status != 304 || again.body != "" {
				t.Errorf("with its ETag: %d %q", again.status, again.body)
			}
			zipped := ask(t, "GET", s.url("/api/v1/"+name), "", "Accept-Encoding: gzip")
			if content(t, zipped) != string(want) || zipped.header.Get("ETag") == got.header.Get("ETag") {
				t.Errorf("compressed it is %d bytes of something else, or has the same ETag", len(zipped.body))
			}
		})
	}
}

// TestAdminDocument is for the administrator, not for other sites' pages.
func TestAdminDocument(t *testing.T) {
	s := run(t, Config{})
	want := ask(t, "GET", s.url("/api/v1/openapi.json"), "").body
	if got := ask(t, "GET", s.adminURL("/api/v1/openapi.json"), ""); got.status != 200 || got.body != want {
		t.Errorf("%d %.80s", got.status, got.body)
	}
	for _, name := range []string{"protocol.md", "protocol.schema.json", "hello.html"} {
		if got := ask(t, "GET", s.adminURL("/api/v1/"+name), ""); got.status != 404 {
			t.Errorf("%s: %d", name, got.status)
		}
	}
}
