// Package web holds the browser side of maitred: the pages and the JavaScript client, embedded in the binary.
package web

import (
	"embed"
	"io/fs"
)

//go:embed static
var embedded embed.FS

// Files is the tree of static files: index.html (the lobby), call.html, style.css, app/… and sdk/maitred.js.
var Files fs.FS = mustSub(embedded, "static")

// mustSub cannot fail for the constant it is called with: the compiler has checked that the directory exists.
func mustSub(files fs.FS, dir string) fs.FS {
	sub, err := fs.Sub(files, dir)
	if err != nil {
		panic(err)
	}
	return sub
}
