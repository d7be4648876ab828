package wasm_test

import (
	"strings"
	"testing"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/wasm"
	bt "github.com/uniflow-dev/uniflow/host/internal/wasm/binary/binarytest"
)

// Promise: a module that is nearly a plugin is told what it lacks.
func TestWhatAModuleLacksIsNamed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		exports []string
		uses    bool
		want    string
	}{
		"another version": {[]string{"uniflow_run", "uniflow_abi_v2"}, true, "it exports uniflow_abi_v2, this host knows uniflow_abi_v1"},
		"no mark":         {[]string{"greet"}, true, "the function greet that a step could call, but lacks the mark of a reactor, uniflow_abi_v1"},
		"a library":       {[]string{"greet"}, false, "exports neither _start (a command) nor uniflow_abi_v1"},
		"nothing":         {nil, false, "exports neither _start (a command) nor uniflow_abi_v1"},
	} {
		b := &bt.Builder{}
		if c.uses {
			b.Import("uniflow", "input_size", b.Type(nil, []byte{bt.I32}))
		}
		b.Memory(1)
		for _, export := range c.exports {
			b.Export(export, b.Func(b.Type(nil, []byte{bt.I32}), 0, bt.Const(0)))
		}
		_, err := wasm.Inspect(b.Bytes())
		if flow.CodeOf(err) != flow.CodeNoEntry || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one that says %q", name, err, c.want)
		}
	}
}
