// Package kits holds the files of the kits for Go and for scripts as the command line writes them into new plugins: the
// very files of sdk, embedded from their common root. Kits for other languages embed their own. It must hold files and
// nothing else.
package kits

import (
	"embed"
	"io/fs"
)

//go:embed LICENSE go.mod go.sum
//go:embed sdk/*.go sdk/abi/*.go sdk/sdktest/*.go sdk/process/*.go sdk/process/proto/*.go
//go:embed sdk/javascript/uniflow.d.ts
var files embed.FS

// Files are the kits by their path in the project. Among them are tests of the kits, which nobody else needs.
func Files() fs.FS { return files }
