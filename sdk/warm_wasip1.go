package uniflow

import (
	"encoding/json"

	"github.com/uniflow-dev/uniflow/sdk/abi"
)

// warmers are what Warm was given.
var warmers []func()

// Warm has f called once, when the module has been initialised and before its state is kept for all attempts, so that
// what f learns or computes is there from the first attempt on: decoding an example teaches a codec the types of the
// step, for one. Services cannot be reached from f, and what it reads of time and randomness is the same each time. Call
// it from an init function; outside of a reactor it does nothing.
func Warm(f func()) { warmers = append(warmers, f) }

// warm goes through what each attempt does before and after the step: the codecs of JSON keep what they learn of types,
// and the heap has grown when the state is kept.
//
//go:wasmexport uniflow_warm
func warm() {
	doc, err := abi.RunContext{Context: json.RawMessage(`{"a":[1,2.5,"x",true,null]}`)}.Encode()
	if err != nil {
		return
	}
	run, err := abi.DecodeRunContext(doc)
	if err != nil {
		return
	}
	var values map[string]any
	if json.Unmarshal(run.Context, &values) == nil {
		_, _ = json.Marshal(values) // nobody reads it
	}
	for _, f := range warmers {
		f()
	}
}
