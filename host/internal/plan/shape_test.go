package plan

import (
	"encoding/json"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// describe has the module clean.wasm say what its function load takes, and what it wants.
func describe(in *Inputs, with string, wants flow.Wants) {
	known := in.Resolved["clean.wasm"]
	known.Shapes, known.Wants = map[string]flow.Shape{"load": {With: json.RawMessage(with)}}, wants
	in.Resolved["clean.wasm"] = known
}

// mistakesOfShapes are about what plugins say of themselves.
func mistakesOfShapes() []mistake {
	return []mistake{
		{
			"inputs that the plugin does not take", func(m *flow.Manifest, in *Inputs) {
				describe(in, `{"type":"object","required":["station","days"],"additionalProperties":false,"properties":{"station":{"type":"string","minLength":3},"days":{"type":"integer"}}}`, flow.Wants{})
				changeStep("load", func(s *flow.Step) {
					s.With = raws("station", `"${context.station}"`, "days", `"many"`, "more", "1")
				})(m, in)
			},
			`error UF1235 pipelines.weather.steps.load.with: plugin "clean" does not take that: additional properties 'more' not allowed | uniflow plugin inspect shows what it takes
error UF1235 pipelines.weather.steps.load.with.days: plugin "clean" does not take that: days: got string, want integer | uniflow plugin inspect shows what it takes`,
		},
		{
			"an input that is missing", func(m *flow.Manifest, in *Inputs) {
				describe(in, `{"required":["station"]}`, flow.Wants{})
				changeStep("load", func(s *flow.Step) { s.With = nil })(m, in)
			},
			`error UF1235 pipelines.weather.steps.load: plugin "clean" does not take that: missing property 'station' | uniflow plugin inspect shows what it takes`,
		},
		{
			"a schema that is none", func(_ *flow.Manifest, in *Inputs) {
				describe(in, `{"properties":{"station":{"pattern":"("}}}`, flow.Wants{})
			},
			`warning UF1237 pipelines.weather.steps.load.plugin: plugin "clean" describes its inputs by no JSON Schema: read the schema: "uniflow:shape#" is not valid against metaschema: jsonschema validation failed with 'https://json-schema.org/draft/2020-12/schema#' - at '': 'allOf' failed - at '/properties/station': 'allOf' failed - at '/properties/station/pattern': '(' is not valid regex: error parsing regexp: missing closing ): ` + "`(`" + ` | tell the author of the plugin`,
		},
		{
			"what a plugin wants", func(m *flow.Manifest, in *Inputs) {
				describe(in, "", flow.Wants{
					HTTP: []string{"GET https://api.example.com/v1/*", "https://other.example.com/*"}, Mount: []string{"/data/rows", "/more"},
					Secret: []string{"TOKEN"}, State: true, Event: true, Clock: true,
				})
				changePlugin("clean", func(p *flow.Plugin) {
					p.Grant.HTTP, p.Grant.Mount, p.Grant.Event = []string{"https://api.example.com/*"}, map[string]string{"/data": "data"}, true
				})(m, in)
			},
			`warning UF1236 plugins.clean.wasm: plugin "clean" wants what it is not granted | state = true in [plugins.clean.grant]
warning UF1236 plugins.clean.wasm: plugin "clean" wants what it is not granted | clock = true in [plugins.clean.grant]
warning UF1236 plugins.clean.wasm: plugin "clean" wants what it is not granted | http = ["https://other.example.com/*"] in [plugins.clean.grant]
warning UF1236 plugins.clean.wasm: plugin "clean" wants what it is not granted | mount = { "/more" = "PATH" } in [plugins.clean.grant]
warning UF1236 plugins.clean.wasm: plugin "clean" wants the secret "TOKEN" | bind it: [plugins.clean.secrets.TOKEN]`,
		},
	}
}
