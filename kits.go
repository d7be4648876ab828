// Package kits holds the files of the plugin kits as the command line writes them into new plugins: the very files of
// sdk, embedded from their common root. It must hold files and nothing else.
package kits

import (
	"embed"
	"io/fs"
)

//go:embed LICENSE sdk/*.go sdk/abi/*.go sdk/sdktest/*.go sdk/c/uniflow.h
var files embed.FS

// Files are the kits by their path in the project. Among them are tests of the kits, which nobody else needs.
func Files() fs.FS { return files }
