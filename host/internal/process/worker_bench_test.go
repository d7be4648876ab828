//go:build linux

package process

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/plugintest"
	"github.com/uniflow-dev/uniflow/host/internal/plugintest/guest"
	"github.com/uniflow-dev/uniflow/sdk/process/proto"
)

// bareCall returns a call over gRPC and go-plugin, with certificates on both sides as a worker has them, and nothing
// else: the floor of what a worker can cost.
func bareCall(b *testing.B, r *Runtime) func(request []byte) {
	b.Helper()
	p := plan(map[string]string{"BARE": "1"})
	p.Path = r.program
	digest, err := digestOf(p.Path)
	if err != nil {
		b.Fatal(err)
	}
	p.Digest = digest
	m, err := r.load(b.Context(), p)
	if err != nil {
		b.Fatal(err)
	}
	w, err := m.take(b.Context(), "bare")
	if err != nil {
		b.Fatal(err)
	}
	client := proto.NewHostClient(w.conn)
	return func(request []byte) {
		if _, err := client.Call(b.Context(), &proto.CallRequest{Request: request}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkWorkerCall is a small attempt in a worker beside a bare call with the same bytes, by turns of twenty, so that
// both are warm and meet the same machine. x-bare is the ratio of the medians; the goal is at most 1.3.
func BenchmarkWorkerCall(b *testing.B) {
	r := newWorkers(b, Config{})
	m, bare := load(b, r, moduleOf(b, "a")), bareCall(b, r)
	value, err := json.Marshal(strings.Repeat("x", 500))
	if err != nil {
		b.Fatal(err)
	}
	call := plugintest.NewCall(b, guest.With{Behaviour: "echo", Value: value})
	doc, err := json.Marshal(call)
	if err != nil {
		b.Fatal(err)
	}
	host := plugintest.NewHost(b.Context())
	var worker, floor []time.Duration
	for b.Loop() {
		floor = turn(floor, func() { bare(doc) })
		worker = turn(worker, func() {
			if _, err := m.Call(b.Context(), call, host); err != nil {
				b.Fatal(err)
			}
		})
	}
	b.ReportMetric(float64(median(floor).Microseconds()), "µs-bare")
	b.ReportMetric(float64(median(worker).Microseconds()), "µs-worker")
	b.ReportMetric(float64(median(worker))/float64(median(floor)), "x-bare")
}

// turn adds the times of twenty calls.
func turn(times []time.Duration, call func()) []time.Duration {
	for range 20 {
		start := time.Now()
		call()
		times = append(times, time.Since(start))
	}
	return times
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

// BenchmarkWorkerStart is the start of a worker with a module that is compiled, and its first attempt.
func BenchmarkWorkerStart(b *testing.B) {
	m := load(b, newWorkers(b, Config{Idle: -1}), moduleOf(b, "a"))
	succeed(b, m, guest.With{Behaviour: "identify"}) // the worker that Load started
	for b.Loop() {
		result, _ := succeed(b, m, guest.With{Behaviour: "identify"})
		if result.Verdict != flow.VerdictOK {
			b.Fatal(result)
		}
	}
}
