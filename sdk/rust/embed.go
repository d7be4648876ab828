// Package rust holds the crate of the Rust kit, so that a host can write it beside a new plugin.
package rust

import "embed"

// Files is the kit as its authors get it.
//
//go:embed Cargo.toml README.md src
var Files embed.FS
