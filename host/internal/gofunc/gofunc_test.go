package gofunc_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/gofunc"
	"github.com/uniflow-dev/uniflow/host/internal/plugintest"
	"github.com/uniflow-dev/uniflow/host/internal/plugintest/guest"
	"github.com/uniflow-dev/uniflow/sdk/abi"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func TestConformance(t *testing.T) {
	t.Parallel()
	rt := gofunc.New(quiet())
	if err := rt.Register("behave", behave); err != nil {
		t.Fatal(err)
	}
	plugintest.Run(t, plugintest.Subject{
		Runtime: rt,
		Plugin: func(b plugintest.Behaviour) flow.PlanPlugin {
			if b == plugintest.WrongABI {
				return flow.PlanPlugin{Name: "behave", Kind: flow.KindFunc, Path: "nobody"}
			}
			return flow.PlanPlugin{Name: "behave", Kind: flow.KindFunc, Path: "behave"}
		},
		Without: map[plugintest.Behaviour]string{
			plugintest.Exit:       "an exit would end the host itself",
			plugintest.Spin:       "a Go function cannot be stopped by force; TestDeafFunctionIsLeftBehind covers what happens instead",
			plugintest.PrintFlood: "standard output is the host's own",
			plugintest.Files:      "a Go function has the embedder's files, and artifacts by Open and Artifact",
		},
	})
}

// behave connects the suite's behaviours to a Call.
func behave(ctx context.Context, c *gofunc.Call) error {
	doc, err := json.Marshal(c.RunContext)
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	run, err := abi.DecodeRunContext(doc)
	if err != nil {
		return err
	}
	if with := string(run.With); strings.Contains(with, `"sleep"`) {
		c.Log(flow.LogInfo, "started")
		<-ctx.Done()
		return nil
	}
	err = guest.Behave(run, adapter{ctx, c})
	if end, ok := errors.AsType[*guest.End](err); ok {
		return &gofunc.Ending{Kind: end.Kind, Code: end.Code, Err: errors.New(end.Message), After: end.After}
	}
	return err
}

type adapter struct {
	ctx context.Context
	c   *gofunc.Call
}

func (a adapter) Output(name string, value json.RawMessage) error { return a.c.OutputJSON(name, value) }

func (a adapter) Log(l abi.Level, message string) { a.c.Log(flow.LogLevel(l), message) }

func (a adapter) Progress(permille int, message string) bool { return a.c.Progress(permille, message) }

func (a adapter) Call(op string, request, body []byte) ([]byte, error) {
	answer, err := a.c.Call(a.ctx, op, request, body)
	if refusal, ok := errors.AsType[*flow.ServiceError](err); ok {
		return nil, fmt.Errorf("%s: %w", op, abi.Errno(refusal.Errno))
	}
	return answer, err
}

func TestDeafFunctionIsLeftBehind(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release, late := make(chan struct{}), make(chan error, 1)
		rt := gofunc.New(quiet())
		err := rt.Register("deaf", func(_ context.Context, c *gofunc.Call) error {
			<-release
			late <- c.Output("late", 1)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		m, err := rt.Load(t.Context(), flow.PlanPlugin{Name: "deaf", Path: "deaf"})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		_, err = m.Call(ctx, plugintest.NewCall(t, guest.With{}), plugintest.NewHost(ctx))
		fault, ok := errors.AsType[*flow.Fault](err)
		if !ok || fault.Reason != flow.ReasonTimeout || !strings.Contains(fault.Message, "left behind") {
			t.Errorf("error %v, want a timeout that says so", err)
		}
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("returned after %s, want deadline and grace, 3s", took)
		}
		close(release)
		if err := <-late; !errors.Is(err, abi.Cancelled) {
			t.Errorf("an output after the end: %v, want cancelled", err)
		}
	})
}

func TestVerdictsOfErrors(t *testing.T) {
	t.Parallel()
	rt := gofunc.New(quiet())
	for name, end := range map[string]error{
		"plain": errors.New("no"), "skip": abi.Skip("nothing new"), "permanent": abi.Permanent(errors.New("never")),
		"retry": fmt.Errorf("wrapped: %w", abi.Retry(errors.New("busy"), time.Hour*48)),
	} {
		if err := rt.Register(name, func(context.Context, *gofunc.Call) error { return end }); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]flow.Result{
		"plain":     {Verdict: flow.VerdictFailed, Message: "no"},
		"skip":      {Verdict: flow.VerdictSkip, Message: "nothing new"},
		"permanent": {Verdict: flow.VerdictPermanent, Message: "never"},
		"retry":     {Verdict: flow.VerdictRetry, Message: "wrapped: busy", RetryAfter: flow.Duration(abi.MaxRetryAfter)},
	} {
		m, err := rt.Load(t.Context(), flow.PlanPlugin{Name: name, Path: name})
		if err != nil {
			t.Fatal(err)
		}
		got, err := m.Call(t.Context(), plugintest.NewCall(t, guest.With{}), plugintest.NewHost(t.Context()))
		if err != nil || got.Verdict != want.Verdict || got.Message != want.Message || got.RetryAfter != want.RetryAfter {
			t.Errorf("%s: %+v, %v, want %+v", name, got, err, want)
		}
	}
}

func TestRegisterRefuses(t *testing.T) {
	t.Parallel()
	rt := gofunc.New(quiet())
	f := func(context.Context, *gofunc.Call) error { return nil }
	if err := rt.Register("a", f); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{"twice": rt.Register("a", f), "no name": rt.Register("", f), "nil": rt.Register("b", nil)} {
		if flow.CodeOf(err) != flow.CodeFuncRegister {
			t.Errorf("%s: %v, want %s", name, err, flow.CodeFuncRegister)
		}
	}
}
