package httpd

import (
	"path"
	"regexp"
	"testing"
)

// forbidden finds in a page what its own Content-Security-Policy would block.
var forbidden = regexp.MustCompile(`(?i)<script(?:\s[^>]*)?>\s*[^<\s]|<style|\sstyle=|\son[a-z]+=|javascript:`)

// TestEmbeddedSite looks at the files that are really in the binary.
func TestEmbeddedSite(t *testing.T) {
	s, err := loadSite()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"index.html", "call.html", "style.css", "sdk/maitred.js"} {
		if len(s.files[name].body) == 0 {
			t.Errorf("%s is missing", name)
		}
	}
	for name, file := range s.files {
		if mimeTypes[path.Ext(name)] == "" {
			t.Errorf("%s would be served as %s", name, file.mime)
		}
		if found := forbidden.Find(file.body); path.Ext(name) == ".html" && found != nil {
			t.Errorf("%s has %q, which the Content-Security-Policy blocks", name, found)
		}
	}
	for _, bad := range []string{"<script>x()</script>", "<script type=module>\nx", `<p style="color:red">`, `<a onclick="x()">`} {
		if !forbidden.MatchString(bad) {
			t.Errorf("%q would not be noticed", bad)
		}
	}
}
