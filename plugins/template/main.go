// Package main is the plugin template: it fills a template for text or HTML with data, and hands over what comes of it as
// a text or an artifact.
package main

import (
	"github.com/uniflow-dev/uniflow/sdk"
)

// Marker marks the module as a reactor.
//
//go:wasmexport uniflow_abi_v1
func Marker() {}

// Run is the entry of a step that names no function.
//
//go:wasmexport uniflow_run
func Run() int32 { return uniflow.Handle(render) }

// Render is the entry that a manifest names by function = "render".
//
//go:wasmexport render
func Render() int32 { return uniflow.Handle(render) }

var _ = registered()

// registered has templates of both kinds parsed and filled before the first attempt.
func registered() bool {
	uniflow.Warm(func() {
		for _, format := range []string{"html", "text"} {
			o := options{
				Template: `{{range .rows}}<a href="{{.u}}" style="width:{{.n}}px" title={{.u}}>{{number .n 1 | printf "%s"}}</a>{{else}}-{{end}}{{table .rows "u" "n"}}<script>x = {{.rows}}</script>`,
				Format:   format,
				Data:     []byte(`{"rows":[{"u":"https://example.com/?a=b","n":1.5},{"u":"x","n":2}]}`),
			}
			_, _ = o.fill() // nobody reads it
		}
	})
	return true
}

func main() {}
