// Package zig holds the Zig kit, so that a host can write it beside a new plugin.
package zig

import "embed"

// Files is the kit as its authors get it.
//
//go:embed README.md uniflow.zig
var Files embed.FS
