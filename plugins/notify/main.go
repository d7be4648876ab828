// Package main is the plugin notify: it tells a person or a program something by a webhook.
package main

import (
	"encoding/json"

	"github.com/uniflow-dev/uniflow/sdk"
)

// Marker marks the module as a reactor.
//
//go:wasmexport uniflow_abi_v1
func Marker() {}

// Run is the entry of a step that names no function.
//
//go:wasmexport uniflow_run
func Run() int32 { return uniflow.Handle(send) }

// Send is the entry that a manifest names by function = "send".
//
//go:wasmexport send
func Send() int32 { return uniflow.Handle(send) }

var _ = registered()

// registered has payloads of all formats made before the first attempt.
func registered() bool {
	uniflow.Warm(func() {
		for _, format := range []string{"webhook", "slack", "discord"} {
			c := &uniflow.Context{}
			c.With = []byte(`{"url":"https://example.com","title":"a","text":"b","level":"warning","fields":{"c":1},"data":{"d":[1]}}`)
			var o options
			if o.decode(c) != nil {
				return
			}
			o.Format = format
			_, _ = json.Marshal(o.payload(c)) // nobody reads it
		}
		_, _ = sign("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "id", "0", nil) // as above
	})
	return true
}

func main() {}
