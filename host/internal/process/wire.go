package process

import (
	"encoding/json"
	"fmt"
	"time"

	wire "google.golang.org/protobuf/proto"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/process/workerproto"
	"github.com/uniflow-dev/uniflow/sdk/abi"
)

// encodeCall returns the request of a call. Each value of it travels as it stands: a call as JSON would cost a worker
// more time than the call itself.
func encodeCall(call *flow.Call) (*workerproto.CallRequest, *flow.Fault) {
	l := call.Limits
	request := &workerproto.CallRequest{
		Run: encodeRun(&call.Context), Args: call.Args, Stdin: call.Stdin, Stdout: call.Stdout, GraceNs: int64(call.Grace),
		Limits: &workerproto.Limits{Memory: int64(l.Memory), Output: int64(l.Output), Log: int64(l.Log), Artifacts: int64(l.Artifacts), Fuel: l.Fuel},
	}
	if size := wire.Size(request); size > workerMessage-envelope {
		return nil, &flow.Fault{
			Reason:  flow.ReasonOutputLimit,
			Message: fmt.Sprintf("run context and input have %d bytes, at most %s each", size, flow.Size(abi.MaxContext)),
			Hint:    "hand large values on as artifacts",
		}
	}
	return request, nil
}

func encodeRun(c *flow.RunContext) *workerproto.RunContext {
	run := &workerproto.RunContext{
		Abi: c.ABI, Tenant: c.Tenant, Project: c.Project, Pipeline: c.Pipeline, Version: string(c.Version), Label: c.Label,
		RunId: string(c.RunID), Step: c.Step, Function: c.Function, Attempt: int64(c.Attempt), MaxAttempts: int64(c.MaxAttempts),
		IdempotencyKey: c.IdempotencyKey, Trigger: string(c.Trigger), Schedule: c.Schedule,
		ScheduledAt: instant(&c.ScheduledAt), IntervalStart: instant(c.IntervalStart), IntervalEnd: instant(c.IntervalEnd),
		StartedAt: instant(&c.StartedAt), Deadline: instant(&c.Deadline), LastSuccessAt: instant(c.LastSuccessAt),
		Context: members(c.Context), With: members(c.With), Item: c.Item, Features: c.Features, Traceparent: c.Traceparent,
	}
	if c.ItemIndex != nil {
		n := int64(*c.ItemIndex)
		run.ItemIndex = &n
	}
	return run
}

// instant keeps the zone, which a guest sees.
func instant(t *time.Time) []byte {
	if t == nil {
		return nil
	}
	b, err := t.MarshalBinary()
	if err != nil { // an offset that has no such form
		b, _ = t.UTC().MarshalBinary()
	}
	return b
}

func members(raw map[string]json.RawMessage) []*workerproto.Member {
	list := make([]*workerproto.Member, 0, len(raw))
	for name, value := range raw {
		list = append(list, &workerproto.Member{Name: name, Value: value})
	}
	return list
}

// decodeCall is the other side of encodeCall. The error is that of an instant.
func decodeCall(request *workerproto.CallRequest) (flow.Call, error) {
	l := request.GetLimits()
	call := flow.Call{
		Args: request.GetArgs(), Stdin: request.GetStdin(), Stdout: request.GetStdout(), Grace: flow.Duration(request.GetGraceNs()),
		Limits: flow.Limits{
			Memory: flow.Size(l.GetMemory()), Output: flow.Size(l.GetOutput()), Log: flow.Size(l.GetLog()),
			Artifacts: flow.Size(l.GetArtifacts()), Fuel: l.GetFuel(),
		},
	}
	var err error
	call.Context, err = decodeRun(request.GetRun())
	return call, err
}

func decodeRun(run *workerproto.RunContext) (flow.RunContext, error) {
	c := flow.RunContext{
		ABI: run.GetAbi(), Tenant: run.GetTenant(), Project: run.GetProject(), Pipeline: run.GetPipeline(),
		Version: flow.Digest(run.GetVersion()), Label: run.GetLabel(), RunID: flow.RunID(run.GetRunId()), Step: run.GetStep(),
		Function: run.GetFunction(), Attempt: int(run.GetAttempt()), MaxAttempts: int(run.GetMaxAttempts()),
		IdempotencyKey: run.GetIdempotencyKey(), Trigger: flow.TriggerKind(run.GetTrigger()), Schedule: run.GetSchedule(),
		Context: rawOf(run.GetContext()), With: rawOf(run.GetWith()), Item: run.GetItem(), Features: append([]string{}, run.GetFeatures()...),
		Traceparent: run.GetTraceparent(),
	}
	if run.ItemIndex != nil {
		n := int(run.GetItemIndex())
		c.ItemIndex = &n
	}
	for _, t := range []struct {
		to       *time.Time
		optional **time.Time
		from     []byte
	}{
		{to: &c.ScheduledAt, from: run.GetScheduledAt()},
		{to: &c.StartedAt, from: run.GetStartedAt()},
		{to: &c.Deadline, from: run.GetDeadline()},
		{to: new(time.Time), optional: &c.IntervalStart, from: run.GetIntervalStart()},
		{to: new(time.Time), optional: &c.IntervalEnd, from: run.GetIntervalEnd()},
		{to: new(time.Time), optional: &c.LastSuccessAt, from: run.GetLastSuccessAt()},
	} {
		if len(t.from) == 0 {
			continue
		}
		if err := t.to.UnmarshalBinary(t.from); err != nil {
			return c, fmt.Errorf("an instant of the run context: %w", err)
		}
		if t.optional != nil {
			*t.optional = t.to
		}
	}
	return c, nil
}

func rawOf(list []*workerproto.Member) map[string]json.RawMessage {
	raw := make(map[string]json.RawMessage, len(list))
	for _, m := range list {
		raw[m.GetName()] = m.GetValue()
	}
	return raw
}
