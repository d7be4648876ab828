// Package expr checks and evaluates the expressions of a manifest: conditions in `when`, and `${...}` in values.
//
// It owns their grammar, their types and their bounds, and is pure: no I/O, no clock, no state. It must not know how a
// graph of steps is built or run.
//
// # Names
//
// An expression is CEL, the standard library of it and nothing more, and sees:
//
//   - context: what the run received, by key; a key with a param has its type.
//   - run: id, tenant, project, pipeline, version, label, trigger and schedule (strings); scheduled_at and started_at
//     (timestamps); interval_start and interval_end (timestamps, missing where the run has no interval).
//   - steps.NAME: the outputs of a step, by name; for a step with `each` the ordered list of them, null where an
//     element was skipped. A step that ended without outputs has none, so that has(steps.NAME.OUTPUT) asks.
//   - item and item_index: the element of a step with `each` and its place from 0.
//   - failed: the names of the steps that failed, in steps with on = "failure" or "always".
//
// A missing key is an error that names it.
//
// # Numbers
//
// The type of a number never depends on the data: it is a double, unless a param or the plugin's schema says integer.
// A whole number written in an expression becomes a double where it stands beside one (`steps.load.count + 1`); an
// integer that is no literal is refused there, and the message asks for double(...). Comparison works across both.
//
// # Values
//
// In a value, every string may hold `${...}`, and `$${` is a literal `${`; keys are taken as they are. A string that
// is one `${...}` and nothing else keeps the type of what it holds. In mixed text a string stands as it is and all else
// in its JSON form. A path without operators, such as ${steps.load.rows[0]["a b"]}, copies the stored JSON byte by byte
// and never enters CEL, so that big integers and the order of keys survive.
//
// # Bounds
//
// An expression has at most 4 KiB and 50 levels. Evaluation ends at a cost of 100,000 (CEL's units: about one per
// operation, one per ten bytes of text), at 4,000,000 elements in one value, or when the context ends; a result has
// at most 8 MiB of JSON.
package expr

import (
	"encoding/json"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

const (
	maxText   = 4 << 10
	maxDepth  = 50
	maxNodes  = 10_000
	maxCost   = 100_000
	maxValue  = 4_000_000
	maxResult = 8 << 20
)

// Env says which names an expression may use, and their types as far as they are known before a run.
type Env struct {
	// Params type the context; nil leaves every key of it untyped.
	Params map[string]flow.Param
	// Steps are those that may be named.
	Steps map[string]Shape
	// Self is the step that holds the expression, for the message when it names itself.
	Self string
	// Item allows item and item_index.
	Item bool
	// Failed allows the list of failed steps.
	Failed bool
}

// Shape is what is known of a step's outputs before it has run.
type Shape struct {
	// Outputs are types by name, in the words of flow.Param; an unknown type is "", an unknown output is allowed.
	Outputs map[string]string
	// List marks a step with `each`.
	List bool
}

// PlanEnv returns the names that the expressions of a step of p may use; an empty step stands for the pipeline's own
// condition, which runs before every step. Item is set for all of a step but its `each`.
func PlanEnv(p *flow.Plan, step string) Env {
	env := Env{Params: p.Params, Self: step}
	self := p.Step(step)
	if self == nil {
		return env
	}
	env.Item = self.Each != ""
	env.Failed = self.On == flow.OnFailure || self.On == flow.OnAlways
	env.Steps = map[string]Shape{}
	for i := range p.Steps {
		if s := &p.Steps[i]; s.Name != step {
			env.Steps[s.Name] = Shape{Outputs: s.Outputs, List: s.Each != ""}
		}
	}
	return env
}

// Values are what the names stand for in one evaluation. Expressions only read them.
type Values struct {
	Context map[string]json.RawMessage
	Run     Run
	Steps   map[string]Outputs
	Item    json.RawMessage
	Index   int
	Failed  []string
}

// Outputs are those of one step.
type Outputs struct {
	// Named are the outputs by name, of a step without `each`.
	Named map[string]json.RawMessage
	// List holds one object of outputs, or null, per element of a step with `each`.
	List []json.RawMessage
}

// Run is what an expression sees as `run`.
type Run struct {
	ID, Tenant, Project, Pipeline, Version, Label, Trigger, Schedule string
	ScheduledAt, StartedAt                                           time.Time
	IntervalStart, IntervalEnd                                       *time.Time
}

// fields returns the raw JSON of `run`.
func (r *Run) fields() map[string]json.RawMessage {
	out := map[string]json.RawMessage{}
	for name, text := range map[string]string{
		"id": r.ID, "tenant": r.Tenant, "project": r.Project, "pipeline": r.Pipeline, "version": r.Version,
		"label": r.Label, "trigger": r.Trigger, "schedule": r.Schedule,
	} {
		out[name] = jsonString(text)
	}
	for name, at := range map[string]*time.Time{
		"scheduled_at": &r.ScheduledAt, "started_at": &r.StartedAt, "interval_start": r.IntervalStart, "interval_end": r.IntervalEnd,
	} {
		if at != nil {
			out[name] = jsonString(at.UTC().Format(time.RFC3339Nano))
		}
	}
	return out
}

// runFields are the names in `run` with their types.
func runFields() map[string]string {
	return map[string]string{
		"id": typeString, "tenant": typeString, "project": typeString, "pipeline": typeString, "version": typeString,
		"label": typeString, "trigger": typeString, "schedule": typeString,
		"scheduled_at": typeTime, "started_at": typeTime, "interval_start": typeTime, "interval_end": typeTime,
	}
}

// The words for types: those of flow.Param, and an instant.
const (
	typeAny     = ""
	typeString  = "string"
	typeInteger = "integer"
	typeNumber  = "number"
	typeBoolean = "boolean"
	typeList    = "list"
	typeObject  = "object"
	typeTime    = "timestamp"
)
