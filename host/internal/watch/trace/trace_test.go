package trace

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// still is a ledger in which nothing happens.
type still struct{}

func (still) Changed() <-chan struct{}                 { return nil }
func (still) LastEvent(context.Context) (int64, error) { return 0, nil }
func (still) Ended(_ context.Context, after int64, _ int) ([]flow.RunBrief, int64, error) {
	return nil, after, nil
}

func (still) Run(context.Context, flow.RunID) (flow.RunRecord, error) {
	return flow.RunRecord{}, flow.ErrNotFound
}

func env(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

func TestTheEnvironmentDecides(t *testing.T) {
	t.Parallel()
	const endpoint = "OTEL_EXPORTER_OTLP_ENDPOINT"
	for name, c := range map[string]struct {
		env     []string
		on      bool
		sampled int // of 1,000 runs; -1 is refused
	}{
		"nothing is said":     {nil, false, 0},
		"an endpoint":         {[]string{endpoint, "http://127.0.0.1:1"}, true, 1000},
		"one for traces":      {[]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:1/x"}, true, 1000},
		"none":                {[]string{endpoint, "http://127.0.0.1:1", "OTEL_TRACES_EXPORTER", "none"}, false, 0},
		"disabled":            {[]string{endpoint, "http://127.0.0.1:1", "OTEL_SDK_DISABLED", "True"}, false, 0},
		"another exporter":    {[]string{endpoint, "http://127.0.0.1:1", "OTEL_TRACES_EXPORTER", "zipkin"}, false, -1},
		"another protocol":    {[]string{endpoint, "http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"}, false, -1},
		"a tenth":             {[]string{endpoint, "http://127.0.0.1:1", "OTEL_TRACES_SAMPLER", "traceidratio", "OTEL_TRACES_SAMPLER_ARG", "0.1"}, true, 100},
		"never":               {[]string{endpoint, "http://127.0.0.1:1", "OTEL_TRACES_SAMPLER", "parentbased_always_off"}, true, 0},
		"no number":           {[]string{endpoint, "http://127.0.0.1:1", "OTEL_TRACES_SAMPLER", "traceidratio", "OTEL_TRACES_SAMPLER_ARG", "NaN"}, false, -1},
		"a sampler of others": {[]string{endpoint, "http://127.0.0.1:1", "OTEL_TRACES_SAMPLER", "jaeger_remote"}, false, -1},
	} {
		tracer, err := New(t.Context(), Config{Ledger: still{}, Getenv: env(c.env...), Logger: slog.New(slog.DiscardHandler)})
		if (tracer != nil) != c.on || (err != nil) != (c.sampled < 0) {
			t.Errorf("%s: on is %v, %v", name, tracer != nil, err)
			continue
		}
		if tracer.Sampled(flow.NewRunID(time.Now())) {
			t.Errorf("%s: sampled before the host has begun", name)
		}
		if err := tracer.Begin(t.Context()); err != nil {
			t.Error(err)
		}
		n := 0
		for range 1000 {
			if tracer.Sampled(flow.NewRunID(time.Now())) {
				n++
			}
		}
		if want := max(0, c.sampled); n < want-60 || n > want+60 || want == 0 && n > 0 {
			t.Errorf("%s: %d of 1,000 runs, want %d", name, n, want)
		}
	}
}

// Promise: a collector that takes nothing costs neither a run nor memory, what it does not take is counted, and the host
// ends all the same.
//
//nolint:paralleltest // it sets the environment
func TestACollectorThatHangsDelaysNothing(t *testing.T) {
	hangs := make(chan struct{})
	asked := make(chan struct{}, 100)
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		asked <- struct{}{}
		<-hangs
	}))
	defer server.Close()
	defer close(hangs)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.URL)
	tracer, err := New(t.Context(), Config{Ledger: still{}, Getenv: env("OTEL_EXPORTER_OTLP_ENDPOINT", server.URL), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := tracer.Begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tracer.Run(ctx)
	}()
	run := flow.NewRunID(time.Now())
	tell := func(n int) {
		for i := range n {
			tracer.Call(&flow.HostCall{Run: run, Step: "s", Attempt: 1, Number: int64(i), Op: "state.get", Begun: time.Now()})
		}
	}
	tell(batch)
	<-asked
	begun := time.Now()
	tell(20_000)
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("20,000 calls waited for %s", took)
	}
	tracer.mu.Lock()
	waiting := len(tracer.queue)
	tracer.mu.Unlock()
	if _, dropped := tracer.Sent(); dropped < 20_000-mostQueued || waiting > mostQueued {
		t.Errorf("%d dropped, %d wait", dropped, waiting)
	}
	cancel()
	select {
	case <-done:
	case <-time.After(4 * endTime):
		t.Fatal("the end waits for the collector")
	}
	if sent, dropped := tracer.Sent(); sent != 0 || dropped == 0 {
		t.Errorf("%d sent, %d dropped", sent, dropped)
	}
}
