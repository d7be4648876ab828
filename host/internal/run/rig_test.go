package run

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// module is a plugin that is a Go function.
type module func(ctx context.Context, call flow.Call, host flow.HostCalls) (flow.Result, error)

func (m module) Call(ctx context.Context, call flow.Call, host flow.HostCalls) (flow.Result, error) {
	return m(ctx, call, host)
}

// ledger keeps what it is given in memory.
type ledger struct {
	mu     sync.Mutex
	events []flow.Event
	logs   []flow.LogLine
	// texts are events and log batches in the order of their arrival.
	texts []string
	// refuse is asked before events are kept.
	refuse func(flow.Event) error
}

func (l *ledger) Commit(_ context.Context, _ flow.Claim, events ...flow.Event) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range events {
		if l.refuse == nil {
			break
		}
		if err := l.refuse(e); err != nil {
			return err
		}
	}
	for _, e := range events {
		text := string(e.Kind) + " " + e.Step
		if e.Item != nil {
			text += fmt.Sprintf("[%d]", *e.Item)
		}
		if e.Attempt != 0 {
			text += fmt.Sprintf(" #%d", e.Attempt)
		}
		l.events, l.texts = append(l.events, e), append(l.texts, strings.TrimSpace(text+" "+string(e.Outcome)+" "+string(e.Reason)))
	}
	return nil
}

func (l *ledger) State(context.Context, string, string, flow.RunID) (map[string]json.RawMessage, error) {
	return map[string]json.RawMessage{}, nil
}

func (l *ledger) AppendLogs(_ context.Context, lines []flow.LogLine) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.logs = append(l.logs, lines...)
	l.texts = append(l.texts, fmt.Sprintf("logs %d", len(lines)))
	return nil
}

// ended is how a step ended, and with what.
func (l *ledger) ended(step string) flow.Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.events {
		if e.Kind == flow.StepEnded && e.Step == step {
			return e
		}
	}
	return flow.Event{}
}

// count counts the events of a kind and step.
func (l *ledger) count(kind flow.EventKind, step string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, e := range l.events {
		if e.Kind == kind && e.Step == step {
			n++
		}
	}
	return n
}

// services is the host side of an attempt: lines and progress go to the run, artifacts are "stored" by name.
type services struct{ a Attempt }

func (s services) Log(level flow.LogLevel, message string) {
	s.a.Log(flow.LogLine{Level: level, Message: message})
}

func (s services) Progress(permille int, message string) bool {
	s.a.Progress(permille, message)
	return false
}

func (s services) Artifact(_ context.Context, name, mediaType string, r io.Reader) (flow.ArtifactRef, error) {
	size, err := io.Copy(io.Discard, r)
	ref := flow.ArtifactRef{Digest: flow.Digest("sha256:" + name), Size: size, Type: mediaType}
	s.a.Put(ref.Digest, ref.Size)
	return ref, err
}

func (s services) Open(_ context.Context, ref flow.ArtifactRef) (io.ReadCloser, error) {
	if slices.Contains(s.a.Known, ref.Digest) {
		return io.NopCloser(strings.NewReader("")), nil
	}
	return nil, flow.ErrNotFound
}

func (services) Call(context.Context, string, []byte, []byte) ([]byte, error) {
	return nil, errors.New("no such service")
}

// rig is a run about to be executed. The steps' plugins have the names of the steps.
type rig struct {
	t       *testing.T
	plan    flow.Plan
	modules map[string]module
	ledger  *ledger
	claimed flow.Claimed
	config  Config
	opened  int
	closed  int
}

// in runs a test in simulated time. Steps lack nothing: what is not set has the manifest's defaults.
func in(t *testing.T, test func(t *testing.T, r *rig), steps ...flow.PlanStep) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{t: t, modules: map[string]module{}, ledger: &ledger{}, plan: flow.Plan{
			Tenant: "default", Pipeline: "p", Digest: "sha256:0123456789abcdef", Timeout: flow.Duration(time.Hour), Plugins: map[string]flow.PlanPlugin{},
		}}
		for _, s := range steps {
			s.Plugin = s.Name
			if s.On == "" {
				s.On = flow.OnSuccess
			}
			if s.Retry.Backoff == (flow.Backoff{}) {
				s.Retry.Backoff = flow.Backoff{Min: time.Second, Max: time.Second}
			}
			if s.Timeout == 0 {
				s.Timeout = flow.Duration(10 * time.Minute)
			}
			r.plan.Steps = append(r.plan.Steps, s)
			r.plan.Plugins[s.Name] = flow.PlanPlugin{Name: s.Name, Kind: flow.KindFunc}
			r.modules[s.Name] = lasts(time.Minute)
		}
		r.claimed = flow.Claimed{
			Run:       flow.Run{ID: "01RUN", Tenant: "default", Pipeline: "p", Version: r.plan.Digest, Trigger: flow.Trigger{Kind: flow.TriggerManual}},
			Claim:     flow.Claim{Run: "01RUN", Epoch: 1},
			StartedAt: time.Now(),
		}
		r.config = Config{Ledger: r.ledger, Logger: slog.New(slog.DiscardHandler), Load: r.load, Open: r.open}
		test(t, r)
		if r.opened != r.closed {
			t.Errorf("%d attempts were opened and %d closed", r.opened, r.closed)
		}
	})
}

func (r *rig) load(_ context.Context, p flow.PlanPlugin) (flow.Module, error) {
	if m := r.modules[p.Name]; m != nil {
		return m, nil
	}
	return nil, &flow.Error{Code: "UF2001", Message: "no such module", Hint: "build it"}
}

func (r *rig) open(_ context.Context, a Attempt) (flow.HostCalls, func()) {
	r.ledger.mu.Lock()
	defer r.ledger.mu.Unlock()
	r.opened++
	return services{a}, func() {
		r.ledger.mu.Lock()
		defer r.ledger.mu.Unlock()
		r.closed++
	}
}

// run executes the run, and records what is left to the caller.
func (r *rig) run(ctx context.Context) (flow.Ending, error) {
	ending, last, err := New(r.config).Run(ctx, &r.plan, r.claimed)
	if err == nil && len(last) > 0 {
		err = r.config.Ledger.Commit(ctx, r.claimed.Claim, last...)
	}
	return ending, err
}

// want executes the run and checks how it ended.
func (r *rig) want(outcome flow.Outcome, reason flow.Reason) flow.Ending {
	r.t.Helper()
	return r.wantOf(r.t.Context(), outcome, reason)
}

func (r *rig) wantOf(ctx context.Context, outcome flow.Outcome, reason flow.Reason) flow.Ending {
	r.t.Helper()
	ending, err := r.run(ctx)
	if err != nil || ending.Outcome != outcome || ending.Reason != reason {
		r.t.Errorf("the run ended %+v, %v; want %s %s", ending, err, outcome, reason)
	}
	return ending
}

// steps checks how steps ended: "name": "outcome reason".
func (r *rig) steps(want map[string]string) {
	r.t.Helper()
	for name, text := range want {
		e := r.ledger.ended(name)
		if got := strings.TrimSpace(string(e.Outcome) + " " + string(e.Reason)); got != text {
			r.t.Errorf("step %s ended %q (%s), want %q", name, got, e.Message, text)
		}
	}
}

// lasts is a module that succeeds after a time, or ends with its context.
func lasts(d time.Duration) module {
	return func(ctx context.Context, _ flow.Call, _ flow.HostCalls) (flow.Result, error) {
		select {
		case <-time.After(d):
			return flow.Result{}, nil
		case <-ctx.Done():
			return flow.Result{}, flow.EndFault(ctx)
		}
	}
}

// says is a module that gives an answer.
func says(r flow.Result) module {
	return func(context.Context, flow.Call, flow.HostCalls) (flow.Result, error) { return r, nil }
}

func outputsOf(text string) map[string]json.RawMessage {
	var named map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &named); err != nil {
		panic(err)
	}
	return named
}

// asks is a context that a fault ends after a time.
func asks(t *testing.T, after time.Duration, reason flow.Reason) context.Context {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	timer := time.AfterFunc(after, func() { cancel(&flow.Fault{Reason: reason, Message: "asked"}) })
	t.Cleanup(func() { timer.Stop(); cancel(nil) })
	return ctx
}
