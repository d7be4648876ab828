// Package nim holds the Nim kit, so that a host can write it beside a new plugin.
package nim

import "embed"

// Files is the kit as its authors get it.
//
//go:embed README.md nim.cfg uniflow.nim
var Files embed.FS
