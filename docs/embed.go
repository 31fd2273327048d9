// Package docs holds the documents that the daemon serves to programs, and the smallest page that joins a room, embedded in the binary.
package docs

import "embed"

// Files are openapi.json, protocol.md, protocol.schema.json and hello.html.
//
//go:embed openapi.json protocol.md protocol.schema.json hello.html
var Files embed.FS
