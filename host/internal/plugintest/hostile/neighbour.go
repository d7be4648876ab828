package hostile

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/plugintest"
	"github.com/uniflow-dev/uniflow/host/internal/plugintest/guest"
	bt "github.com/uniflow-dev/uniflow/host/internal/wasm/binary/binarytest"
)

// neighbour is the plugin of another tenant that goes on being served.
type neighbour struct {
	stop   context.CancelFunc
	done   chan struct{}
	served int
	worst  time.Duration
	err    error
}

// neighbourEvery is the pause between two calls of the neighbour.
const neighbourEvery = 100 * time.Millisecond

// serve loads the neighbour and calls it until its end.
func (s *suite) serve(t *testing.T) *neighbour {
	t.Helper()
	p, err := pluginOf(t.TempDir(), "neighbour.wasm", echo())
	if err != nil {
		t.Fatal(err)
	}
	p.Name = "neighbour"
	m, err := s.Runtime.Load(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	n := &neighbour{stop: cancel, done: make(chan struct{})}
	first := make(chan struct{})
	go n.run(ctx, t, s, m, first)
	<-first
	return n
}

func (n *neighbour) run(ctx context.Context, t *testing.T, s *suite, m flow.Module, first chan struct{}) {
	defer close(n.done)
	ticks := time.NewTicker(neighbourEvery)
	defer ticks.Stop()
	for {
		begin := time.Now()
		n.err = s.echo(t, m)
		n.worst = max(n.worst, time.Since(begin))
		if n.served++; n.served == 1 {
			close(first)
		}
		if n.err != nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		}
	}
}

// echo makes one attempt of the neighbour, which must get through.
func (s *suite) echo(t *testing.T, m flow.Module) error {
	ctx, cancel := context.WithTimeout(t.Context(), s.Slack)
	defer cancel()
	call := plugintest.NewCall(t, guest.With{Message: "still here"})
	call.Context.Tenant = "neighbour"
	result, err := within(ctx, s.Slack, func() (flow.Result, error) { return m.Call(ctx, call, plugintest.NewHost(ctx)) })
	if err != nil {
		return err
	}
	var got flow.RunContext
	if err := json.Unmarshal(result.Outputs["context"], &got); err != nil || string(got.With["message"]) != `"still here"` {
		return fmt.Errorf("verdict %d, output %.200s: %w", result.Verdict, result.Outputs["context"], err)
	}
	return nil
}

// end stops the neighbour and says how it fared.
func (n *neighbour) end(t *testing.T) {
	t.Helper()
	n.stop()
	<-n.done
	if n.err != nil {
		t.Errorf("the neighbour's call %d: %v", n.served, n.err)
	}
	t.Logf("the neighbour was called %d times; the slowest call took %s", n.served, n.worst.Round(time.Millisecond))
}

// echo is a reactor that hands its run context on as output "context".
func echo() []byte {
	g := newReactor("uniflow.input_size", "uniflow.input_read", "uniflow.output")
	g.Data(0, "context")
	return g.entry(1, bt.Call(g.f["input_size"]), bt.Set(0), bt.Const(1024), bt.Const(0), bt.Get(0), bt.Call(g.f["input_read"]), bt.Op(bt.Drop),
		bt.Const(0), bt.Const(7), bt.Const(1024), bt.Get(0), bt.Call(g.f["output"]))
}

// given puts an artifact of n bytes on the host and returns its reference.
func given(t *testing.T, host *plugintest.Host, n int) json.RawMessage {
	t.Helper()
	ref, err := host.Artifact(t.Context(), "given", "text/plain", &zeros{n})
	if err != nil {
		t.Fatal(err)
	}
	doc, err := json.Marshal(ref)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}
