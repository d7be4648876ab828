package host

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/plan"
)

// Result is how a run ended, for callers that wait for it.
type Result struct {
	Run flow.RunID
	// Success is true when the run succeeded, or was skipped because its condition was false.
	Success bool
	// Skipped is true when its condition was false.
	Skipped bool
	// Err says why it did not succeed: an *flow.Error with CodeRunFailed; nil on success.
	Err error
	// Outputs are those of the steps that no other step needs, by step and name.
	Outputs map[string]map[string]json.RawMessage
	// Steps in the plan's order.
	Steps    []flow.StepRecord
	Duration time.Duration
}

// RunNow runs a pipeline and waits for its end. It waits its turn behind a run that is live, and is never coalesced.
// The context is laid over the pipeline's own. When ctx ends, the run goes on; the error is then that of ctx.
func (h *Host) RunNow(ctx context.Context, pipeline string, runContext map[string]any) (Result, error) {
	values := map[string]json.RawMessage{}
	for k, v := range runContext {
		raw, err := json.Marshal(v)
		if err != nil {
			return Result{}, &flow.Error{Code: flow.CodeRequest, Op: "run " + pipeline, Message: fmt.Sprintf("context key %q is not JSON", k), Err: err}
		}
		values[k] = raw
	}
	id, err := h.startRun(ctx, flow.RunRequest{Pipeline: pipeline, Context: values})
	if err != nil {
		return Result{}, err
	}
	if _, err := h.runner.Wait(ctx, id); err != nil {
		return Result{Run: id}, fmt.Errorf("wait for run %s: %w", id, err)
	}
	return h.Result(ctx, id)
}

// Result reads how a run ended.
func (h *Host) Result(ctx context.Context, id flow.RunID) (Result, error) {
	record, err := h.store.Run(ctx, id)
	if err != nil {
		return Result{}, fmt.Errorf("run %s: %w", id, err)
	}
	r := Result{Run: id, Steps: record.Steps, Duration: record.Duration(time.Now()), Outputs: map[string]map[string]json.RawMessage{}}
	r.Skipped = record.Outcome == flow.Skipped
	r.Success = record.Outcome == flow.Succeeded || r.Skipped
	if !r.Success && record.State == flow.StateEnded {
		r.Err = &flow.Error{Code: flow.CodeRunFailed, Op: "run " + string(id), Message: fmt.Sprintf("%s (%s): %s", record.Outcome, record.Reason, record.Message), Hint: "uniflow runs show " + string(id)}
	}
	if p, err := h.store.Plan(ctx, record.Version); err == nil {
		for _, name := range p.Ends() {
			for i := range record.Steps {
				if s := &record.Steps[i]; s.Name == name && s.Outcome == flow.Succeeded {
					r.Outputs[name] = s.NamedOutputs()
				}
			}
		}
	}
	return r, nil
}

// StartRun asks for a run and returns once it is recorded.
func (h *Host) StartRun(ctx context.Context, r flow.RunRequest) (flow.RunRecord, error) {
	id, err := h.startRun(ctx, r)
	if err != nil {
		return flow.RunRecord{}, err
	}
	return h.store.Run(ctx, id)
}

func (h *Host) startRun(ctx context.Context, r flow.RunRequest) (flow.RunID, error) {
	if h.config.ReadOnly {
		return "", errReadOnly("start a run")
	}
	h.preload(ctx, r.Pipeline)
	h.view.RLock()
	defer h.view.RUnlock()
	e, err := h.known(r.Pipeline)
	if err != nil {
		return "", err
	}
	merged, err := checkContext(&e.plan, r.Context, "run "+r.Pipeline)
	if err != nil {
		return "", err
	}
	if r.ID != "" && !r.ID.Valid() {
		return "", &flow.Error{Code: flow.CodeRequest, Op: "run " + r.Pipeline, Message: fmt.Sprintf("%.40q is not the id of a run", r.ID), Hint: "leave the id out for a fresh one, or give 26 digits and capital letters, as a ULID has them"}
	}
	now := time.Now().UTC()
	request := flow.Run{
		ID: r.ID, Tenant: e.plan.Tenant, Pipeline: e.plan.Pipeline, Version: e.plan.Digest,
		Trigger: flow.Trigger{Kind: flow.TriggerManual, ScheduledAt: now}, Context: merged,
	}
	if request.ID == "" {
		request.ID = flow.NewRunID(now)
	}
	return request.ID, h.offer(ctx, &e.plan, flow.Offer{Run: request}, "run "+r.Pipeline)
}

// preload loads the plugins of a pipeline before a look at it that others wait for. What is wrong is told by that.
func (h *Host) preload(ctx context.Context, pipeline string) {
	if e, err := h.known(pipeline); err == nil {
		_ = h.load(ctx, &e.plan)
	}
}

// take offers a run and returns it as recorded.
func (h *Host) take(ctx context.Context, p *flow.Plan, offer flow.Offer, op string) (flow.RunRecord, error) {
	if err := h.offer(ctx, p, offer, op); err != nil {
		return flow.RunRecord{}, err
	}
	return h.store.Run(ctx, offer.Run.ID)
}

// offer returns once a run is recorded.
func (h *Host) offer(ctx context.Context, p *flow.Plan, offer flow.Offer, op string) error {
	// A plugin that cannot be loaded is told now, and no run comes of it; and compiling it takes no time of a step.
	if err := h.load(ctx, p); err != nil {
		return err
	}
	offered, err := h.runner.Offer(ctx, offer)
	if err != nil {
		return err
	}
	if offered.Message != "" {
		return overQuota(op, offered.Message)
	}
	if offered.Answer == flow.OfferRefused {
		return &flow.Error{Code: flow.CodeRefused, Op: op, Message: "too many runs of the pipeline wait already", Hint: "uniflow runs list --pipeline " + p.ID() + " --state queued"}
	}
	if offered.Answer == flow.OfferDuplicate {
		return h.sameRun(ctx, p, offer.Run.ID, op)
	}
	return nil
}

// sameRun refuses the id of a run of another pipeline.
func (h *Host) sameRun(ctx context.Context, p *flow.Plan, id flow.RunID, op string) error {
	record, err := h.store.Run(ctx, id)
	if err == nil && flow.ID(record.Tenant, record.Pipeline) != p.ID() {
		return &flow.Error{Code: flow.CodeExists, Op: op, Message: fmt.Sprintf("the id %s is that of a run of %q", record.ID, flow.ID(record.Tenant, record.Pipeline)), Hint: "choose another id, or leave it out"}
	}
	return err
}

// checkContext lays values over the plan's context and checks them against its params.
func checkContext(p *flow.Plan, values map[string]json.RawMessage, op string) (map[string]json.RawMessage, error) {
	merged, err := plan.Context(p, values)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", op, err)
	}
	return merged, nil
}

// Cancel asks a run to end: a waiting one at once, a live one as soon as its steps give way.
func (h *Host) Cancel(ctx context.Context, id flow.RunID) (flow.RunRecord, error) {
	if h.config.ReadOnly {
		return flow.RunRecord{}, errReadOnly("cancel a run")
	}
	record, err := h.Run(ctx, string(id))
	if err != nil {
		return record, err
	}
	if record.State == flow.StateEnded {
		return record, &flow.Error{Code: flow.CodeRunEnded, Op: "cancel run " + string(record.ID), Message: fmt.Sprintf("it has ended already: %s", record.Outcome), Hint: "uniflow runs show " + string(record.ID)}
	}
	if err := h.runner.Cancel(ctx, record.ID, flow.ReasonRequest, "the end was asked for"); err != nil {
		return record, err
	}
	return h.store.Run(ctx, record.ID)
}

// Runs lists runs, newest first; the query's limit defaults to 50.
func (h *Host) Runs(ctx context.Context, q flow.RunQuery) ([]flow.RunRecord, error) {
	if q.Pipeline != "" {
		q.Tenant, q.Pipeline = splitID(q.Pipeline, q.Tenant)
	}
	if q.Before != "" {
		id, err := h.find(ctx, string(q.Before)) // or what is older than no run would be nothing
		if err != nil {
			return nil, err
		}
		q.Before = id
	}
	return h.store.Runs(ctx, q)
}

// Run returns one run whole: by id, by the beginning of one, or the newest of all by "@last".
func (h *Host) Run(ctx context.Context, name string) (flow.RunRecord, error) {
	id, err := h.find(ctx, name)
	if err != nil {
		return flow.RunRecord{}, err
	}
	return h.store.Run(ctx, id)
}

// find returns the id of a run that is named in one of the ways of Run.
func (h *Host) find(ctx context.Context, name string) (flow.RunID, error) {
	tenant, prefix, ok := strings.Cut(name, "/")
	if !ok {
		tenant, prefix = "", name
	}
	if prefix == "@last" {
		last, err := h.store.Runs(ctx, flow.RunQuery{Tenant: tenant, Limit: 1})
		if err != nil {
			return "", fmt.Errorf("find the last run: %w", err)
		}
		if len(last) == 0 {
			return "", notFound("run", name, nil)
		}
		return last[0].ID, nil
	}
	ids, err := h.store.FindRuns(ctx, tenant, prefix, 11)
	switch {
	case err != nil:
		return "", fmt.Errorf("find run %.80q: %w", name, err)
	case len(ids) == 1 && prefix != "":
		return ids[0], nil
	case len(ids) == 0 || prefix == "":
		return "", &flow.Error{Code: flow.CodeNotFound, Message: fmt.Sprintf("no run %.80q", name), Hint: "uniflow runs list", Err: flow.ErrNotFound}
	}
	names := make([]string, len(ids))
	for i, id := range ids {
		names[i] = string(id)
	}
	return "", notFound("single run that begins with", name, names)
}

// Logs returns lines of guests, oldest first.
func (h *Host) Logs(ctx context.Context, q flow.LogQuery) ([]flow.LogLine, error) {
	return h.store.Logs(ctx, q)
}

// Events returns recorded changes, oldest first.
func (h *Host) Events(ctx context.Context, q flow.EventQuery) ([]flow.Event, error) {
	if q.Schedule != "" {
		q.Tenant, q.Schedule = splitID(q.Schedule, q.Tenant)
	}
	return h.store.Events(ctx, q)
}

// Follow calls yield with each event after q.After as it is recorded, until yield returns false, ctx ends, or the run
// of q has ended and its last event was seen.
func (h *Host) Follow(ctx context.Context, q flow.EventQuery, yield func(flow.Event) bool) error {
	q.Bytes = followBytes
	for {
		changed := h.store.Changed()
		seen, err := h.seenBy(ctx, &q)
		if err != nil {
			return fmt.Errorf("read events: %w", err)
		}
		events, err := h.store.Events(ctx, q)
		if err != nil {
			return fmt.Errorf("read events: %w", err)
		}
		for i := range events {
			q.After = events[i].Seq
			if !yield(events[i]) || (q.Run != "" && events[i].Kind == flow.RunEnded) {
				return nil
			}
		}
		if len(events) > 0 {
			continue
		}
		q.After = max(q.After, seen)
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// seenBy returns the event up to which a query that finds nothing has looked: events of other tenants are looked at once.
func (h *Host) seenBy(ctx context.Context, q *flow.EventQuery) (int64, error) {
	if q.Tenant == "" || q.Run != "" { // all are its own, or an index finds them
		return 0, nil
	}
	return h.store.LastEvent(ctx)
}

// followBytes bounds what one caller of Follow holds of the ledger: so much, or one event. There may be hundreds, and
// slow ones.
const followBytes = 256 * flow.KiB

// Artifact opens bytes that the context or an output of a run refers to; else the error is flow.ErrNotFound.
func (h *Host) Artifact(ctx context.Context, id flow.RunID, d flow.Digest) (io.ReadCloser, error) {
	record, err := h.Run(ctx, string(id))
	if err != nil {
		return nil, err
	}
	refers, err := h.store.RunRefers(ctx, record.ID, d)
	if err != nil {
		return nil, err
	}
	if !refers {
		return nil, fmt.Errorf("artifact %.80q of run %s: %w", string(d), record.ID, flow.ErrNotFound)
	}
	return h.blobs.Get(ctx, record.Tenant, d)
}

// Info tells about the host.
func (h *Host) Info(ctx context.Context) (flow.HostInfo, error) {
	records, err := h.store.Schedules(ctx)
	if err != nil {
		return flow.HostInfo{}, fmt.Errorf("list schedules: %w", err)
	}
	schedules := h.withUnsynced(records)
	h.mu.Lock()
	defer h.mu.Unlock()
	info := flow.HostInfo{
		Version: Version, PID: os.Getpid(), StartedAt: h.opened.UTC(), Data: h.data, Listen: h.listen, TLS: h.tls, Socket: h.socket, Serving: h.serving && !h.stopped,
		Pipelines: len(h.plans), Schedules: len(schedules),
	}
	if h.runner != nil {
		info.LiveRuns, info.Rearmed = h.runner.Live(), h.clock.Rearmed()
	}
	if h.current() != nil {
		info.Manifest = h.current().Path
	}
	return info, nil
}

// splitID parts an id into tenant and name.
func splitID(id, tenant string) (string, string) {
	for i := range len(id) {
		if id[i] == '/' {
			return id[:i], id[i+1:]
		}
	}
	if tenant == "" {
		tenant = flow.DefaultTenant
	}
	return tenant, id
}
