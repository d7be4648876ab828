package hostile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/plugintest"
	"github.com/uniflow-dev/uniflow/host/internal/plugintest/guest"
)

// Subject is a runtime under attack.
type Subject struct {
	// Runtime is closed by the caller.
	Runtime flow.Runtime
	// Needs names the cases that the runtime does not withstand yet, each with the reason. They are run, and one that
	// passes fails the test until it is no longer named here.
	Needs map[string]string
	// Sample bounds the modules that are loaded of each case, spread over all of them. Defaults to all, and to 20 under
	// the race detector.
	Sample int
	// Slack is what a runtime needs beyond a deadline to stop a guest, and to load a module that is refused. Defaults to
	// 20 seconds, for busy machines.
	Slack time.Duration
}

// maxSystemMemory bounds what the whole test process may ever have taken from the system, by far: an attack on memory
// that works takes more, or all.
const maxSystemMemory = 4 << 30

// Run runs the corpus, cases side by side, while a plugin of another tenant is called all the time.
func Run(t *testing.T, s Subject) {
	t.Helper()
	if s.Slack == 0 {
		s.Slack = 20 * time.Second
	}
	if Racing && s.Sample == 0 {
		s.Sample = 20
	}
	cases, all := Cases(), &suite{Subject: s}
	for name := range s.Needs {
		if !slices.ContainsFunc(cases, func(c Case) bool { return c.Name == name }) {
			t.Errorf("needs names %q, which is no case", name)
		}
	}
	neighbour := all.serve(t)
	t.Run("cases", func(t *testing.T) {
		for _, c := range cases {
			t.Run(string(c.Stage)+"/"+c.Name, func(t *testing.T) {
				t.Parallel()
				if Racing && c.Stage == Compile {
					t.Skip("a compilation is one goroutine, which has no races and takes minutes here")
				}
				all.judge(t, c)
			})
		}
	})
	neighbour.end(t)
	t.Logf("%d cases; the slowest stop came %s after its deadline: %s", len(cases), all.late.Round(time.Millisecond), all.who)
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	if stats.Sys > maxSystemMemory {
		t.Errorf("the host took %d MiB from the system", stats.Sys>>20)
	}
}

// suite is one run of the corpus.
type suite struct {
	Subject

	mu   sync.Mutex
	late time.Duration // the most that an attempt came back after its deadline
	who  string        // which case that was
}

// lateness notes how long after its deadline an attempt came back.
func (s *suite) lateness(c Case, late time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if late > s.late {
		s.late, s.who = late, c.Name
	}
}

// judge runs a case, and turns what came of it into success or failure.
func (s *suite) judge(t *testing.T, c Case) {
	t.Helper()
	err := s.attack(t, c)
	reason, needed := s.Needs[c.Name]
	switch {
	case needed && err == nil:
		t.Errorf("the case passes: take it out of what the runtime needs (%s)", reason)
	case needed:
		t.Logf("NEEDS: %s: %v", reason, err)
	case err != nil:
		t.Error(err)
	}
}

// attack loads and calls every module of a case and returns what was wrong.
func (s *suite) attack(t *testing.T, c Case) error {
	t.Helper()
	dir := t.TempDir()
	modules := c.Modules()
	step := 1
	if s.Sample > 0 {
		step = max(1, len(modules)/s.Sample)
	}
	for i := 0; i < len(modules); i += step {
		p, err := pluginOf(dir, fmt.Sprintf("%d.wasm", i), modules[i])
		if err != nil {
			t.Fatal(err)
		}
		p.Grant = c.Grant
		if err := s.module(t, c, p); err != nil {
			return fmt.Errorf("module %d of %d, %d bytes %.40x: %w", i, len(modules), len(modules[i]), modules[i], err)
		}
	}
	return nil
}

// pluginOf writes a module to a file.
func pluginOf(dir, name string, module []byte) (flow.PlanPlugin, error) {
	path := filepath.Join(dir, name)
	err := os.WriteFile(path, module, 0o600)
	return flow.PlanPlugin{Name: "hostile", Kind: flow.KindWasm, Path: path, Digest: flow.DigestOf(module)}, err
}

// errHang says that nothing came back.
var errHang = errors.New("it did not come back")

// within calls f, and gives up a bounded time after ctx ended or, where ctx does not end, began.
func within[T any](ctx context.Context, slack time.Duration, f func() (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	done := make(chan answer, 1)
	go func() {
		value, err := f()
		done <- answer{value, err}
	}()
	deadline, limited := ctx.Deadline()
	if !limited {
		deadline = time.Now()
	}
	timer := time.NewTimer(time.Until(deadline) + slack)
	defer timer.Stop()
	select {
	case got := <-done:
		return got.value, got.err
	case <-timer.C:
		var none T
		return none, errHang
	}
}

// module loads one module and calls its entries.
func (s *suite) module(t *testing.T, c Case, p flow.PlanPlugin) error {
	t.Helper()
	limit := s.Slack
	if c.Load > 0 {
		limit = c.Load
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	m, err := within(ctx, s.Slack, func() (flow.Module, error) { return s.Runtime.Load(ctx, p) })
	switch {
	case errors.Is(err, errHang), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("it was not loaded within %s: %w", limit, err)
	case err != nil:
		return c.ended(Ending(flow.CodeOf(err)), err.Error())
	}
	entries := c.Entries
	if len(entries) == 0 {
		entries = []string{""}
	}
	for i, entry := range entries {
		if err := s.call(t, c, m, entry); err != nil {
			return fmt.Errorf("attempt %d, entry %q: %w", i+1, entry, err)
		}
	}
	return nil
}

// call makes one attempt.
func (s *suite) call(t *testing.T, c Case, m flow.Module, entry string) error {
	t.Helper()
	timeout := c.Timeout
	if timeout == 0 {
		timeout = time.Minute
	}
	host := plugintest.NewHost(t.Context())
	call := c.call(t, host)
	call.Context.Function = entry
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	host.Ctx = ctx
	result, err := within(ctx, s.Slack, func() (flow.Result, error) { return m.Call(ctx, call, host) })
	if deadline, _ := ctx.Deadline(); c.Timeout > 0 {
		s.lateness(c, time.Since(deadline))
	}
	if errors.Is(err, errHang) {
		return err
	}
	if err != nil {
		return c.fault(err)
	}
	words := [...]Ending{flow.VerdictOK: OK, flow.VerdictFailed: Failed, flow.VerdictSkip: Skip, flow.VerdictRetry: Retry, flow.VerdictPermanent: Permanent}
	return c.ended(words[result.Verdict], fmt.Sprintf("%s; log: %.2000v", result.Message, host.Lines()))
}

// call returns what an attempt is given. A guest is stopped at its deadline, without a grace.
func (c *Case) call(t *testing.T, host *plugintest.Host) flow.Call {
	t.Helper()
	with := guest.With{}
	if c.Input > 0 {
		with.Value = given(t, host, c.Input)
	}
	call := plugintest.NewCall(t, with)
	call.Grace = 0
	for _, l := range []struct{ to, from *flow.Size }{
		{&call.Limits.Memory, &c.Limits.Memory}, {&call.Limits.Output, &c.Limits.Output}, {&call.Limits.Artifacts, &c.Limits.Artifacts},
	} {
		if *l.from != 0 {
			*l.to = *l.from
		}
	}
	call.Limits.Fuel = c.Limits.Fuel
	return call
}

// fault judges an error of Call: it must be a fault, and say nothing of the host's inside.
func (c *Case) fault(err error) error {
	fault, ok := errors.AsType[*flow.Fault](err)
	if !ok {
		return fmt.Errorf("error %w, want a *flow.Fault", err)
	}
	for _, inside := range []string{"goroutine ", ".go:", "wasm stack trace"} {
		if strings.Contains(fault.Message+fault.Hint, inside) {
			return fmt.Errorf("the message shows the host's inside: %s", fault.Message)
		}
	}
	if len(fault.Message) > maxMessage {
		return fmt.Errorf("the message has %d bytes", len(fault.Message))
	}
	return c.ended(Ending(fault.Reason), fault.Message)
}

// maxMessage bounds a fault's message, of which the guest may have made a part.
const maxMessage = 32 << 10

func (c *Case) ended(got Ending, why string) error {
	if slices.Contains(c.Want, got) {
		return nil
	}
	return fmt.Errorf("it ended with %q (%.2000s), want one of %q", got, why, c.Want)
}
