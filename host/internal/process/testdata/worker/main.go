//go:build linux

// The worker of the tests: its runtime does what the bytes of a module, and with.behaviour of a call, say, and has no
// manners. Started with BARE it is a plain go-plugin that echoes, to compare with.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/plugintest/guest"
	"github.com/uniflow-dev/uniflow/host/internal/process"
)

func main() {
	if os.Getenv("BARE") != "" {
		serveBare()
		return
	}
	if !process.IsWorker() {
		fmt.Fprintln(os.Stderr, "not a worker")
		os.Exit(1)
	}
	err := process.ServeWorker(func(dir string) (flow.Runtime, error) { return &runtime{dir: dir}, nil })
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// runtime keeps what it has "compiled" in the folder that is kept for later workers.
type runtime struct {
	dir   string
	calls int
}

func (r *runtime) Load(_ context.Context, p flow.PlanPlugin) (flow.Module, error) {
	content, err := os.ReadFile(p.Path)
	if err != nil {
		return nil, err
	}
	switch word, _, _ := strings.Cut(string(content), " "); word {
	case "malformed":
		return nil, &flow.Error{Code: flow.CodeMalformed, Message: "byte 0: not today", Hint: "another day"}
	case "endless":
		spin()
	case "huge":
		grow()
	case "crash":
		panic("the compiler has a bug")
	}
	kept := filepath.Join(r.dir, process.CompiledDir, p.Digest.Hex())
	_, err = os.ReadFile(kept)
	m := &module{runtime: r, known: err == nil}
	if err != nil {
		if err := os.MkdirAll(filepath.Dir(kept), 0o700); err != nil {
			return nil, err
		}
		err = os.WriteFile(kept, []byte("code"), 0o600)
	}
	return m, err
}

func (r *runtime) Close(context.Context) error { return nil }

type module struct {
	runtime *runtime
	known   bool // compiled by another worker
}

func (m *module) Call(ctx context.Context, call flow.Call, host flow.HostCalls) (flow.Result, error) {
	m.runtime.calls++
	if string(call.Context.With["behaviour"]) == `"echo"` { // it is measured
		return flow.Result{Outputs: map[string]json.RawMessage{"echo": call.Context.With["value"]}}, nil
	}
	var with guest.With
	doc, err := json.Marshal(call.Context.With)
	if err == nil {
		err = json.Unmarshal(doc, &with)
	}
	if err != nil {
		return flow.Result{}, err
	}
	outputs := map[string]any{}
	switch with.Behaviour {
	case "identify":
		outputs["pid"], outputs["calls"], outputs["known"] = os.Getpid(), m.runtime.calls, m.known
	case "deaf":
		host.Log(flow.LogInfo, fmt.Sprint(os.Getpid()))
		spin()
	case "hold":
		host.Log(flow.LogInfo, fmt.Sprint(os.Getpid()))
		<-ctx.Done()
		return flow.Result{}, &flow.Fault{Reason: flow.ReasonRequest, Message: "held", Usage: flow.Usage{Fuel: 7}}
	case "grow":
		grow()
	case "die":
		os.Exit(3)
	case "fault":
		return flow.Result{}, &flow.Fault{Reason: flow.Reason(with.Message), Message: "so it says"}
	case "environment":
		outputs["environment"] = os.Environ()
	case "reach":
		outputs["reached"] = reach()
	case "artifacts":
		return m.artifacts(ctx, host, with)
	}
	result := flow.Result{Outputs: map[string]json.RawMessage{}, Usage: flow.Usage{HostCalls: 3}}
	for name, value := range outputs {
		if result.Outputs[name], err = json.Marshal(value); err != nil {
			return flow.Result{}, err
		}
	}
	return result, nil
}

// artifacts puts many bytes and reads them again.
func (m *module) artifacts(ctx context.Context, host flow.HostCalls, with guest.With) (flow.Result, error) {
	ref, err := host.Artifact(ctx, "file", "text/plain", io.LimitReader(zeros{}, int64(with.Size)))
	if err != nil {
		return flow.Result{Verdict: flow.VerdictFailed, Message: err.Error()}, nil
	}
	r, err := host.Open(ctx, ref)
	if err != nil {
		return flow.Result{}, err
	}
	defer r.Close()
	n, err := io.Copy(io.Discard, r)
	if err != nil {
		return flow.Result{}, err
	}
	_, missing := host.Open(ctx, flow.ArtifactRef{Digest: flow.DigestOf([]byte("another"))})
	return flow.Result{Outputs: map[string]json.RawMessage{"size": fmt.Append(nil, n), "missing": fmt.Appendf(nil, "%q", fmt.Sprint(missing))}}, nil
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// reach tries to get at what a worker must not reach, and returns what it got.
func reach() []string {
	const foreign = "192.0.2.1" // nobody's
	got := []string{}
	try := func(what string, err error) {
		if err == nil {
			got = append(got, what)
		}
	}
	_, err := os.ReadFile("/etc/passwd")
	try("read /etc/passwd", err)
	_, err = os.ReadDir("..")
	try("list the folders of other workers", err)
	try("write beside its folder", os.WriteFile("../stolen", nil, 0o600))
	try("execute a program", exec.Command("/bin/true").Run())
	try("signal the host", syscall.Kill(os.Getppid(), 0))
	for _, network := range []string{"udp", "tcp"} {
		conn, err := net.DialTimeout(network, foreign+":9", time.Second)
		if err == nil || os.IsTimeout(err) {
			got = append(got, "a route by "+network)
		}
		if err == nil {
			conn.Close()
		}
	}
	return got
}

func spin() {
	for n := 0; ; n++ {
		if n < 0 {
			return
		}
	}
}

// grow takes memory until there is no more.
func grow() {
	var held [][]byte
	for {
		b := make([]byte, 16<<20)
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
		held = append(held, b)
		if len(held) > 1<<20 {
			time.Sleep(time.Hour)
		}
	}
}
