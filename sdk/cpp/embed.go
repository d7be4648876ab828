// Package cpp holds the header of the C++ kit, so that a host can write it beside a new plugin.
package cpp

import "embed"

// Files is the kit as its authors get it.
//
//go:embed README.md uniflow.hpp
var Files embed.FS
