package uniflow

import (
	"encoding/json"

	"github.com/uniflow-dev/uniflow/sdk/abi"
)

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
}
