// Package assemblyscript holds the AssemblyScript kit, so that a host can write it beside a new plugin.
package assemblyscript

import "embed"

// Files is the kit as its authors get it.
//
//go:embed README.md package.json uniflow.ts
var Files embed.FS
