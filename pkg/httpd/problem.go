package httpd

import (
	"encoding/json"
	"html/template"
	"net/http"
	"strings"
)

// problem is an RFC 9457 problem detail. The type is always about:blank, so
// the title is the status's own; Code is a stable word that programs may
// branch on, Detail tells a person what to do.
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	Code   string `json:"code"`
}

func writeProblem(w http.ResponseWriter, status int, code, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(problem{"about:blank", http.StatusText(status), status, detail, code})
}

func writeJSON(w http.ResponseWriter, v any) { writeJSONStatus(w, http.StatusOK, v) }

func writeJSONStatus(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		writeProblem(w, http.StatusInternalServerError, "internal", "The answer could not be written: "+err.Error())
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n'))
}

// explained gives words to requests that no pattern of mux takes: a problem
// to programs, a short page to people who followed a stale link.
func explained(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		unmatched, pattern := mux.Handler(r)
		if pattern != "" {
			mux.ServeHTTP(w, r)
			return
		}
		// Ask the mux's own handler whether the path or the method is wrong.
		seen := &headerOnly{header: http.Header{}, status: http.StatusNotFound}
		unmatched.ServeHTTP(seen, r)
		if seen.status == http.StatusMethodNotAllowed {
			allow := seen.header.Get("Allow")
			w.Header().Set("Allow", allow)
			writeProblem(w, seen.status, "method_not_allowed", "This path answers "+allow+" only.")
			return
		}
		notFound(w, r)
	})
}

var notFoundPage = template.Must(template.New("").Parse(`<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Not found</title>
<h1>There is nothing here</h1>
<p><a href="/">Go to the front page</a> to start or join a call.</p>
</html>
`))

func notFound(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/api/") || !strings.Contains(r.Header.Get("Accept"), "text/html") {
		writeProblem(w, http.StatusNotFound, "not_found", "There is nothing at this path; see the routes in the documentation.")
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(http.StatusNotFound)
	_ = notFoundPage.Execute(w, nil)
}

// headerOnly is a response that nobody reads.
type headerOnly struct {
	header http.Header
	status int
}

func (h *headerOnly) Header() http.Header         { return h.header }
func (h *headerOnly) Write(p []byte) (int, error) { return len(p), nil }
func (h *headerOnly) WriteHeader(status int)      { h.status = status }
