// Package kits holds the files of the plugin kits as the command line writes them into new plugins: the very files of
// sdk, embedded from their common root. It must hold files and nothing else.
package kits

import (
	"embed"
	"io/fs"
)

//go:embed LICENSE go.mod go.sum
//go:embed sdk/*.go sdk/abi/*.go sdk/sdktest/*.go sdk/process/*.go sdk/process/proto/*.go
//go:embed sdk/c/uniflow.h sdk/cpp/uniflow.hpp sdk/zig/uniflow.zig sdk/nim/uniflow.nim sdk/nim/nim.cfg
//go:embed sdk/assemblyscript/uniflow.ts sdk/javascript/uniflow.d.ts
//go:embed sdk/rust/Cargo.toml sdk/rust/README.md sdk/rust/src
var files embed.FS

// Files are the kits by their path in the project. Among them are tests of the kits, which nobody else needs.
func Files() fs.FS { return files }
