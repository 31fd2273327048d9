// Package web holds the browser side of maitred: the pages and the JavaScript client, embedded in the binary.
package web

import "embed"

// Files is the tree of static files: static/index.html (the lobby), static/call.html, static/style.css, static/app/…, and of the
// client what is served of it, sdk/maitred.js and sdk/maitred.d.ts.
//
//go:embed static sdk/maitred.js sdk/maitred.d.ts
var Files embed.FS
