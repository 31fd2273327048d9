package httpd

import "net/http"

// route is one pattern of a mux and who answers it. They are listed in tables
// so that the OpenAPI document can be compared with what there is.
type route struct {
	pattern string
	handler http.HandlerFunc
}

func muxOf(routes []route) *http.ServeMux {
	mux := http.NewServeMux()
	for _, r := range routes {
		mux.HandleFunc(r.pattern, r.handler)
	}
	return mux
}
