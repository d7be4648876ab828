package run

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// consumed counts what an attempt made the host keep.
type consumed struct {
	log, artifacts, egress atomic.Int64

	mu    sync.Mutex
	state map[string]json.RawMessage
}

// write notes a change of the pipeline's state.
func (c *consumed) write(key string, value json.RawMessage) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == nil {
		c.state = map[string]json.RawMessage{}
	}
	c.state[key] = value
}

// written returns all changes; later ones are not looked at.
func (c *consumed) written() map[string]json.RawMessage {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.state)
}

// add completes the usage of an attempt that has ended.
func (c *consumed) add(end *attemptEnd) {
	end.usage.Log, end.usage.Artifacts = flow.Size(c.log.Load()), flow.Size(c.artifacts.Load())
	end.usage.Egress = flow.Size(c.egress.Load())
	for _, value := range end.outputs.named {
		end.usage.Output += flow.Size(len(value))
	}
}

// limited returns the fault with the limit that was met, its value, and where it was set.
func limited(s *flow.PlanStep, fault *flow.Fault) *flow.Fault {
	name, value := limitOf(s, fault)
	if name == "" {
		return fault
	}
	own := *fault
	own.Message += fmt.Sprintf("; limits.%s is %s, %s", name, value, setBy(s.SetBy[name]))
	return &own
}

// limitOf returns the limit of a step that a fault is about, by its reason and the limit that it names; none where it is
// about a bound that no manifest sets.
func limitOf(s *flow.PlanStep, fault *flow.Fault) (name, value string) {
	names := map[flow.Reason][]string{
		flow.ReasonMemory: {"memory"}, flow.ReasonFuel: {"fuel"}, flow.ReasonOutputLimit: {"artifacts", "output"},
	}
	for _, name := range names[fault.Reason] {
		if strings.Contains(fault.Message+" "+fault.Hint, "limits."+name) {
			values := map[string]string{
				"memory": s.Limits.Memory.String(), "fuel": fmt.Sprint(s.Limits.Fuel),
				"artifacts": s.Limits.Artifacts.String(), "output": s.Limits.Output.String(),
			}
			return name, values[name]
		}
	}
	return "", ""
}

// setBy says where a limit was set: by a table of the manifest, or nowhere.
func setBy(table string) string {
	if table == "" {
		return "the default"
	}
	return "set by " + table
}
