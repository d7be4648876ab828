package hosttest_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/hosttest"
	"github.com/uniflow-dev/uniflow/sdk/abi/abitest"
)

// TestGoProcessKit runs the conformance program of the Go kit for processes.
func TestGoProcessKit(t *testing.T) { //nolint:tparallel // its cases share one module
	t.Parallel()
	path := filepath.Join(t.TempDir(), "conformance")
	if runtime.GOOS == "windows" {
		path += ".exe"
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", path, "../../sdk/process/testdata/conformance")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	runProcessKit(t, path, hosttest.Config{Kind: flow.KindProcess})
}

// runProcessKit runs the vectors that a process can be asked for against the conformance program at path. All cases run in
// one process: none of them ends it.
func runProcessKit(t *testing.T, path string, c hosttest.Config) {
	t.Helper()
	module, err := hosttest.Load(t.Context(), path, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = module.Close() })
	for _, v := range abitest.Load[abitest.KitCase](t, vectors, "conformance.json") {
		t.Run(v.Name, func(t *testing.T) { runKitCase(t, module, v) })
	}
	ran := 0
	for _, v := range abitest.Load[abitest.AttemptCase](t, vectors, "attempt.json") {
		if !onlyOutputs(v) {
			continue
		}
		limits := flow.Limits{Output: flow.Size(v.Limits.OutputBytes)}
		v.Limits.OutputBytes = 0
		with, possible := attemptInputs(v)
		if !possible {
			continue
		}
		ran++
		t.Run("attempt: "+v.Name, func(t *testing.T) {
			out, err := call(t.Context(), module, hosttest.Input{With: with, Limits: &limits})
			checkAttempt(t, v, out, err)
		})
	}
	if ran < 5 {
		t.Errorf("%d vectors of attempts were run, want 5 or more", ran)
	}
}

// onlyOutputs tells the vectors that a process can follow: it has no call for how it ends, but one word at the end.
func onlyOutputs(v abitest.AttemptCase) bool {
	for _, c := range v.Calls {
		if c.Do != "output" {
			return false
		}
	}
	return v.Return == 0
}
