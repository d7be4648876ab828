package plan

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// version is what a digest covers: what runs, and nothing that only describes, schedules or keeps it. Names of plugins
// and paths of files are not part of it; their bytes and grants are.
type version struct {
	Format   int                        `json:"format"`
	Tenant   string                     `json:"tenant"`
	Pipeline string                     `json:"pipeline"`
	When     string                     `json:"when"`
	Context  map[string]json.RawMessage `json:"context"`
	Params   map[string]flow.Param      `json:"params"`
	Timeout  flow.Duration              `json:"timeout"`
	Steps    []versionStep              `json:"steps"`
}

type versionStep struct {
	flow.PlanStep
	Kind   flow.PluginKind `json:"kind"`
	Bytes  flow.Digest     `json:"bytes"`
	Func   string          `json:"func"`
	Script flow.Digest     `json:"script,omitempty"`
	Entry  string          `json:"entry,omitempty"`
	Fresh  bool            `json:"fresh,omitempty"`
	Grants flow.Grant      `json:"grants"`

	Secrets map[string]flow.SecretBinding `json:"secrets,omitempty"`
}

// digest returns the version of a plan, or "" while the bytes of a plugin are not known.
func digest(p *flow.Plan) flow.Digest {
	v := version{Format: 1, Tenant: p.Tenant, Pipeline: p.Pipeline, When: p.When, Context: laid(p.Context), Timeout: p.Timeout, Params: map[string]flow.Param{}}
	for name, param := range p.Params {
		param.About = ""
		v.Params[name] = param
	}
	for i := range p.Steps {
		s := versionStep{PlanStep: p.Steps[i]}
		plugin := p.Plugins[s.Plugin]
		if plugin.Digest == "" && plugin.Kind != flow.KindFunc {
			return ""
		}
		s.Kind, s.Bytes, s.Grants, s.Fresh, s.Secrets = plugin.Kind, plugin.Digest, plugin.Grant, plugin.Fresh, plugin.Secrets
		if plugin.Script != nil {
			s.Script, s.Entry = plugin.Script.Digest, plugin.Script.Entry
		}
		if plugin.Kind == flow.KindFunc {
			s.Func = plugin.Path
		}
		// The types of outputs follow from the plugin's bytes, its name says nothing, nor does where a limit is written.
		s.Plugin, s.Outputs, s.SetBy, s.Shape = "", nil, nil, flow.Shape{}
		v.Steps = append(v.Steps, s)
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return "" // a value that is no JSON; that is an error among the problems
	}
	return flow.DigestOf(canonical(raw))
}

// canonical returns JSON in one form: sorted keys, no blanks, numbers as they are written. What is no JSON stays as it
// is.
func canonical(raw json.RawMessage) json.RawMessage {
	value, err := decode(raw)
	if err != nil {
		return raw
	}
	return encode(value)
}

// decode reads one JSON value and keeps numbers as they are written.
func decode(raw json.RawMessage) (any, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var value any
	if err := d.Decode(&value); err != nil {
		return nil, fmt.Errorf("read JSON: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("read JSON: more than one value")
	}
	return value, nil
}

// encode returns v as JSON, without the escapes for HTML.
func encode(v any) json.RawMessage {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return json.RawMessage("null")
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
