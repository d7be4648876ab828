package run

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// outputs are those of a call by name, or of a step with each the ordered list of them.
type outputs struct {
	named map[string]json.RawMessage
	list  []json.RawMessage
}

// step executes one step and records its ending.
func (x *execution) step(ctx context.Context, s *stepState) ended {
	if s.program.each != nil {
		return x.fanOut(ctx, s)
	}
	out, events, err := x.item(ctx, s, nil)
	if err != nil {
		return ended{step: s, outcome: out, err: err}
	}
	return x.end(s, out, events...)
}

// end records how a step ended, with what led to it; not that of the last step.
func (x *execution) end(s *stepState, out outcome, events ...flow.Event) ended {
	events = append(events, x.stepEnded(s, out))
	if s.last {
		return ended{step: s, outcome: out, events: events}
	}
	return ended{step: s, outcome: out, err: x.commit(events...)}
}

func (x *execution) stepEnded(s *stepState, out outcome) flow.Event {
	event := x.event(flow.StepEnded, s)
	event.Ending, event.Outputs, event.List = out.ending, out.outputs.named, out.outputs.list
	return event
}

// element is one call of a step with each.
type element struct {
	index int
	value json.RawMessage
}

// fanOut calls the step once per element, at most Parallel at one time; the first failure stops what has not begun.
// The output is the list of the calls' outputs in the order of the elements, null where one was skipped.
func (x *execution) fanOut(ctx context.Context, s *stepState) ended {
	values, err := s.program.each.List(ctx, x.values(s))
	if err == nil && len(values) > maxElements {
		err = fmt.Errorf("the list has %d elements; a step with each takes at most %d", len(values), maxElements)
	}
	if err != nil {
		out := outcome{ending: expressionFailed(ctx, fmt.Sprintf("each of step %q", s.step.Name), err)}
		return x.end(s, out)
	}
	out, err := x.elements(ctx, s, values)
	if err != nil {
		return ended{step: s, outcome: out, err: err}
	}
	return x.end(s, out)
}

// maxElements bounds the list of a step with each.
const maxElements = 10_000

// elements makes the calls of a fan-out and sums their endings up.
func (x *execution) elements(ctx context.Context, s *stepState, values []json.RawMessage) (outcome, error) {
	calls, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	results := make([]outcome, len(values))
	slots := make(chan struct{}, max(1, s.step.Parallel))
	var group sync.WaitGroup
	var failed atomic.Bool
	var mu sync.Mutex
	var failures []error
	for i := range values {
		slots <- struct{}{}
		if fault := flow.EndFault(calls); fault != nil || failed.Load() {
			<-slots
			results[i].ending = notBegun(fault)
			continue
		}
		group.Go(func() {
			defer func() { <-slots }()
			out, events, err := x.item(calls, s, &element{index: i, value: values[i]})
			if err == nil && len(events) > 0 {
				err = x.commit(events...)
			}
			results[i] = out
			if out.ending.Outcome == flow.Failed {
				failed.Store(true)
			}
			if err != nil {
				stop(&flow.Fault{Reason: flow.ReasonInternal, Message: "the ledger refused a record", Err: err})
				mu.Lock()
				defer mu.Unlock()
				failures = append(failures, err)
			}
		})
	}
	group.Wait()
	return sumElements(results), errors.Join(failures...)
}

// notBegun is the end of an element that was not called: the run's end came first, or another element failed.
func notBegun(fault *flow.Fault) flow.Ending {
	if fault != nil {
		return faultEnding(fault)
	}
	return flow.Ending{Outcome: flow.Skipped, Reason: flow.ReasonUpstream, Message: "another element failed"}
}

// sumElements makes one outcome of many: failed if one failed, else cancelled if one was, else succeeded.
func sumElements(results []outcome) outcome {
	sum := outcome{ending: flow.Ending{Outcome: flow.Succeeded}, outputs: outputs{list: make([]json.RawMessage, len(results))}}
	for i, r := range results {
		sum.outputs.list[i] = json.RawMessage("null")
		switch r.ending.Outcome {
		case flow.Succeeded:
			sum.outputs.list[i] = marshalOutputs(r.outputs.named)
		case flow.Failed, flow.Cancelled:
			if sum.ending.Outcome != flow.Failed && (r.ending.Outcome == flow.Failed || sum.ending.Outcome == flow.Succeeded) {
				sum.ending = r.ending
				sum.ending.Message = fmt.Sprintf("element %d: %s", i, r.ending.Message)
			}
		default:
		}
	}
	if sum.ending.Outcome != flow.Succeeded {
		sum.outputs.list = nil
	}
	return sum
}

// marshalOutputs is the JSON object of a call's outputs; their values are valid JSON already.
func marshalOutputs(named map[string]json.RawMessage) json.RawMessage {
	if len(named) == 0 {
		return json.RawMessage("{}")
	}
	raw, err := json.Marshal(named)
	if err != nil {
		return json.RawMessage("null")
	}
	return raw
}

// expressionFailed is the end of what an expression kept from beginning; one that was cut off with ctx is no fault of
// the expression.
func expressionFailed(ctx context.Context, where string, err error) flow.Ending {
	if fault := flow.EndFault(ctx); fault != nil {
		return faultEnding(fault)
	}
	return flow.Ending{Outcome: flow.Failed, Reason: flow.ReasonExpression, Message: fmt.Sprintf("%s: %v", where, err)}
}
