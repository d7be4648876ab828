// Package main is the plugin csv: it reads CSV into typed rows, selects, filters, groups and sorts them on the way, and
// writes rows back as CSV.
package main

import (
	"strings"

	"github.com/uniflow-dev/uniflow/sdk"
)

// Marker marks the module as a reactor.
//
//go:wasmexport uniflow_abi_v1
func Marker() {}

// Run is the entry of a step that names no function: it reads.
//
//go:wasmexport uniflow_run
func Run() int32 { return uniflow.Handle(read) }

// Read is the entry that a manifest names by function = "read".
//
//go:wasmexport read
func Read() int32 { return uniflow.Handle(read) }

// Write is the entry that a manifest names by function = "write".
//
//go:wasmexport write
func Write() int32 { return uniflow.Handle(write) }

var _ = registered()

// registered has the codecs learn the types of the plugin before the first attempt.
func registered() bool {
	uniflow.Warm(warm)
	return true
}

// warm reads and writes a table of two rows.
func warm() {
	var o readOptions
	c := &uniflow.Context{}
	c.With = []byte(`{"text":"a,b,d\n1,x,2024-01-02\n2,y,2024-01-03","types":{"a":"number","d":"date"},` +
		`"derive":{"m":{"from":"d","part":"month"}},"where":[{"column":"a","op":">","value":1}],` +
		`"group":{"by":["b"],"columns":{"s":{"sum":"a"},"n":{"count":"*"}}},"sort":["-s"],"select":["b","s"],"limit":1}`)
	if o.decode(c) != nil {
		return
	}
	t := table{}
	if t.read(&o, strings.NewReader(o.Text), nil) == nil {
		_, _ = jsonRows(&t)
	}
}

func main() {}
