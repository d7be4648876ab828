// Package main is the plugin jq: it runs a jq filter over values, artifacts and mounted files. The filter sees nothing
// else: no files, no environment, no modules.
package main

import (
	"strings"

	"github.com/uniflow-dev/uniflow/sdk"
)

// Marker marks the module as a reactor.
//
//go:wasmexport uniflow_abi_v1
func Marker() {}

// Run is the entry of a step that names no function.
//
//go:wasmexport uniflow_run
func Run() int32 { return uniflow.Handle(filter) }

// Filter is the entry that a manifest names by function = "filter".
//
//go:wasmexport filter
func Filter() int32 { return uniflow.Handle(filter) }

var _ = registered()

// registered has codecs and filters warmed before the first attempt: the builtins of jq are parsed once.
func registered() bool {
	uniflow.Warm(warm)
	return true
}

// warm compiles and runs a filter of common builtins.
func warm() {
	c := &uniflow.Context{}
	c.With = []byte(`{"filter":"map(select(.a > $n)) | group_by(.b) | map({b: .[0].b, s: (map(.a) | add), t: (.[0].b | test(\"x\"))}) | sort_by(.s) | to_entries | from_entries? // [.[] | tostring]",` +
		`"value":[{"a":1,"b":"x"},{"a":2.5,"b":"y"}],"args":{"n":0}}`)
	var o options
	code, err := o.decode(c)
	if err != nil {
		return
	}
	found := results{most: maxList}
	values := newValues(strings.NewReader(string(o.Value)), "value")
	_ = o.each(c, code, values, found.add) // nobody reads it
}

func main() {}
