package httpd

import (
	"compress/gzip"
	"fmt"
	"net/http"
	"sync"

	"github.com/maitred/maitred/docs"
)

// documentTypes are the documents that programs can ask for, by file name.
var documentTypes = map[string]string{
	"openapi.json":         "application/json",
	"protocol.schema.json": "application/json",
	"protocol.md":          "text/markdown; charset=utf-8",
}

// loadDocuments reads, compresses and hashes them once in the process, as
// readSite does the page.
var loadDocuments = sync.OnceValues(func() (*site, error) {
	s := &site{files: map[string]siteFile{}}
	zip, err := gzip.NewWriterLevel(nil, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	for name, mime := range documentTypes {
		body, err := docs.Files.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("read the embedded documents: %w", err)
		}
		small, err := compress(zip, body)
		if err != nil {
			return nil, fmt.Errorf("compress %s: %w", name, err)
		}
		s.files[name] = siteFile{mime: mime, plain: newForm(body), gzip: newForm(small)}
	}
	return s, nil
})

// document serves one to anybody's page: they say nothing that the sources do
// not.
func (s *Server) document(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		s.documents.serve(w, r, name)
	}
}
