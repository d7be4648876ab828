//go:build languages && unix

package hosttest_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/hosttest"
)

// TestProcessKits runs the vectors against the programs of the kits for processes, which .ci/process.sh builds.
func TestProcessKits(t *testing.T) {
	for _, language := range []string{"python", "node"} {
		t.Run(language, func(t *testing.T) {
			path := filepath.Join(languagesDir, "process-"+language)
			config := processConfig(map[string]string{"python": "python3", "node": "node"}[language])
			t.Run("vectors", func(t *testing.T) { runProcessKit(t, path, config) })
			t.Run("life", func(t *testing.T) { processLife(t, path, config) })
		})
	}
}

// processConfig grants nothing, so that the environment is empty, where the interpreter is found without.
func processConfig(interpreter string) hosttest.Config {
	c := hosttest.Config{Kind: flow.KindProcess}
	if _, err := os.Stat("/usr/bin/" + interpreter); err != nil {
		c.Grant.Env = map[string]string{"PATH": os.Getenv("PATH")}
	}
	return c
}

// life calls the function of the conformance programs that misbehaves.
func life(t *testing.T, m *hosttest.Module, ctx context.Context, with map[string]any) (hosttest.Output, error) { //nolint:revive // ctx differs
	t.Helper()
	return m.Call(ctx, hosttest.Input{Function: "life", With: with, Grace: 10 * time.Second, Limits: &flow.Limits{Artifacts: 64 * flow.MiB}})
}

// processLife is what a kit owes its host beyond the vectors.
func processLife(t *testing.T, path string, c hosttest.Config) {
	t.Helper()
	begin := time.Now()
	m, err := hosttest.Load(t.Context(), path, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	t.Logf("it answers after %s", time.Since(begin).Round(time.Millisecond))

	out, err := life(t, m, t.Context(), map[string]any{"do": "print"})
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"printed", "by a child"} {
		if !slices.ContainsFunc(out.Logs, func(l flow.LogLine) bool { return l.Message == line }) {
			t.Errorf("%q is not in the log %v", line, lines(out.Logs))
		}
	}
	pid := string(out.Outputs["pid"])
	again := func() string {
		out, err := life(t, m, t.Context(), map[string]any{"do": "print"})
		if err != nil {
			t.Fatal(err)
		}
		return string(out.Outputs["pid"])
	}
	out, err = life(t, m, t.Context(), map[string]any{"do": "raise"})
	if err != nil || out.Verdict != flow.VerdictFailed || again() != pid {
		t.Errorf("after an exception: %v %q %q, %v, want a failure in a process that goes on", out.Verdict, out.Code, out.Message, err)
	}
	for do, want := range map[string]flow.Reason{"exit": flow.ReasonPanic, "crash": flow.ReasonCrashed} {
		_, err = life(t, m, t.Context(), map[string]any{"do": do})
		if fault, ok := errors.AsType[*flow.Fault](err); !ok || fault.Reason != want {
			t.Errorf("%s: %v, want %s", do, err, want)
		}
	}
	if got := again(); got == pid {
		t.Error("the process that was to be replaced goes on")
	}
	out, err = life(t, m, t.Context(), map[string]any{"do": "save", "millions": 20})
	if content, failed := out.Artifact("big.bin"); err != nil || failed != nil || len(content) != 20_000_000 {
		t.Errorf("an artifact of %d bytes, %v, %v", len(content), err, failed)
	}
	processEchoes(t, m)
	processStops(t, m)
}

// processEchoes passes a document about as large as a run context may be.
func processEchoes(t *testing.T, m *hosttest.Module) {
	t.Helper()
	document := json.RawMessage(`["` + strings.Repeat(`0123456789\n\u00fc`, 400_000) + `",` + strings.Repeat("[1.50],", 100_000) + "0]")
	out, err := m.Call(t.Context(), hosttest.Input{
		Function: "run", With: map[string]any{"case": "echo", "document": document}, Limits: &flow.Limits{Output: 8 * flow.MiB},
	})
	if err != nil || string(out.Outputs["document"]) != string(document) {
		t.Errorf("a document of %d bytes came back with %d: %v %q, %v", len(document), len(out.Outputs["document"]), out.Verdict, out.Message, err)
	}
}

// processStops cancels an attempt, which ends well before its grace is over, and says so.
func processStops(t *testing.T, m *hosttest.Module) {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	time.AfterFunc(200*time.Millisecond, func() { cancel(errors.New("enough")) })
	begin := time.Now()
	out, err := life(t, m, ctx, map[string]any{"do": "wait"})
	if took := time.Since(begin); err == nil || took > 8*time.Second {
		t.Errorf("a cancelled attempt took %s: %v", took, err)
	}
	if !slices.ContainsFunc(out.Logs, func(l flow.LogLine) bool { return l.Message == "stopped: True" || l.Message == "stopped: true" }) {
		doc, _ := json.Marshal(lines(out.Logs))
		t.Errorf("the step did not hear that it is to stop: %s", doc)
	}
}
