package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

const crashManifest = `version = 1
[pipelines.tick]
wasm     = "guests/answer.wasm"
schedule = "every 1s"
[pipelines.spin]
wasm    = "guests/spin.wasm"
timeout = { step = "2s" }
`

// project is a folder with a manifest, in which the real program is run.
type project struct {
	t   *testing.T
	dir string
}

// uniflow runs the program to its end and returns its standard output.
func (p *project) uniflow(args ...string) []byte {
	p.t.Helper()
	var stderr bytes.Buffer
	c := exec.CommandContext(p.t.Context(), "uniflow", args...)
	c.Dir, c.Stderr = p.dir, &stderr
	out, err := c.Output()
	if err != nil {
		p.t.Fatalf("uniflow %v: %v\n%s", args, err, stderr.Bytes())
	}
	return out
}

// runs lists the runs of a pipeline by id.
func (p *project) runs(pipeline string) map[flow.RunID]flow.RunRecord {
	p.t.Helper()
	var list []flow.RunRecord
	if err := json.Unmarshal(p.uniflow("runs", "list", "--pipeline", pipeline, "--json", "--limit", "1000"), &list); err != nil {
		p.t.Fatal(err)
	}
	byID := map[flow.RunID]flow.RunRecord{}
	for _, r := range list {
		byID[r.ID] = r
	}
	return byID
}

// serve starts a host and waits until it serves.
func (p *project) serve() *exec.Cmd {
	p.t.Helper()
	c := exec.CommandContext(p.t.Context(), "uniflow", "serve", "--listen", "none")
	c.Dir = p.dir
	var stderr bytes.Buffer
	c.Stderr = &stderr
	if err := c.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { // its end is what the test is about; this is for a test that fails
		_ = c.Process.Kill()
		_ = c.Wait()
		if p.t.Failed() {
			p.t.Logf("a host said:\n%s", stderr.Bytes())
		}
	})
	if !awaitSocket(filepath.Join(p.dir, "data"), true) {
		p.t.Fatal("the host does not serve")
	}
	return c
}

// until waits until the runs of a pipeline are as wanted.
func (p *project) until(what, pipeline string, ok func(map[flow.RunID]flow.RunRecord) bool) map[flow.RunID]flow.RunRecord {
	p.t.Helper()
	for deadline := time.Now().Add(startTime); time.Now().Before(deadline); <-time.After(50 * time.Millisecond) {
		if runs := p.runs(pipeline); ok(runs) {
			return runs
		}
	}
	p.t.Fatalf("after %s: no %s: %+v", startTime, what, p.runs(pipeline))
	return nil
}

// Promise: what was acknowledged survives kill -9; a run that was live is taken up and ends; slots fire again.
func TestHistorySurvivesAKill(t *testing.T) {
	t.Parallel()
	p := &project{t, t.TempDir()}
	if err := os.WriteFile(filepath.Join(p.dir, "uniflow.toml"), []byte(crashManifest), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := writeGuests(filepath.Join(p.dir, "guests")); err != nil {
		t.Fatal(err)
	}
	p.uniflow("build")
	host := p.serve()
	done := func(runs map[flow.RunID]flow.RunRecord) (n int) {
		for _, r := range runs {
			if r.Outcome == flow.Succeeded {
				n++
			}
		}
		return n
	}
	p.until("scheduled run", "tick", func(runs map[flow.RunID]flow.RunRecord) bool { return done(runs) > 0 })
	p.uniflow("run", "spin", "--detach")
	p.until("live run", "spin", func(runs map[flow.RunID]flow.RunRecord) bool {
		for _, r := range runs {
			return r.State == flow.StateRunning
		}
		return false
	})
	before := p.runs("tick")
	if err := host.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = host.Wait() // it was killed

	after := p.runs("tick") // no host serves: read from the ledger
	for id, r := range before {
		if now := after[id]; r.State == flow.StateEnded && now.Outcome != r.Outcome {
			t.Errorf("run %s was %s before the kill and is %q after it", id, r.Outcome, now.Outcome)
		}
	}

	p.serve()
	p.until("later slot", "tick", func(runs map[flow.RunID]flow.RunRecord) bool { return done(runs) > done(after) })
	ended := p.until("end of the run that was live", "spin", func(runs map[flow.RunID]flow.RunRecord) bool {
		for _, r := range runs {
			return r.State == flow.StateEnded
		}
		return false
	})
	for id, r := range ended {
		if r.Epoch != 2 || r.Outcome != flow.Failed {
			t.Errorf("run %s: epoch %d, outcome %s; want 2, failed", id, r.Epoch, r.Outcome)
		}
	}
}

// Promise: a terminal that goes away ends a run as Ctrl-C does: it is cancelled, and its record says so.
func TestHangUpCancelsARun(t *testing.T) {
	t.Parallel()
	p := &project{t, t.TempDir()}
	if err := os.WriteFile(filepath.Join(p.dir, "uniflow.toml"), []byte("version = 1\n[pipelines.spin]\nwasm    = \"guests/spin.wasm\"\ntimeout = { step = \"1m\" }\n[pipelines.answer]\nwasm = \"guests/answer.wasm\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := writeGuests(filepath.Join(p.dir, "guests")); err != nil {
		t.Fatal(err)
	}
	p.uniflow("run", "answer") // makes the ledger
	c := exec.CommandContext(t.Context(), "uniflow", "run", "spin")
	c.Dir = p.dir
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	p.until("live run", "spin", func(runs map[flow.RunID]flow.RunRecord) bool { return len(runs) == 1 })
	if err := c.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if _ = c.Wait(); c.ProcessState.ExitCode() != exitInterrupted { // the code says how it ended
		t.Errorf("got %v, want exit code %d", c.ProcessState, exitInterrupted)
	}
	for id, r := range p.runs("spin") {
		if r.Outcome != flow.Cancelled {
			t.Errorf("run %s is %s %s, want cancelled", id, r.State, r.Outcome)
		}
	}
}

// Promise: a run that was cut off outside of a host is not passed in silence: the next one says what to do, exit 6. What
// it says helps: the pipeline is free again.
func TestRunBehindOneThatWasCutOff(t *testing.T) {
	t.Parallel()
	p := &project{t, t.TempDir()}
	if err := os.WriteFile(filepath.Join(p.dir, "uniflow.toml"), []byte(crashManifest), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := writeGuests(filepath.Join(p.dir, "guests")); err != nil {
		t.Fatal(err)
	}
	p.uniflow("run", "tick")
	first := exec.CommandContext(t.Context(), "uniflow", "run", "spin")
	first.Dir = p.dir
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	p.until("live run", "spin", func(runs map[flow.RunID]flow.RunRecord) bool { return len(runs) > 0 })
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = first.Wait() // it was killed

	second := exec.CommandContext(t.Context(), "uniflow", "run", "spin")
	second.Dir = p.dir
	out, err := second.CombinedOutput()
	if second.ProcessState.ExitCode() != exitConflict || !bytes.Contains(out, []byte("error[UF6006]")) || !bytes.Contains(out, []byte("uniflow runs cancel ")) {
		t.Errorf("got %v and %s", err, out)
	}

	for id, r := range p.runs("spin") {
		if r.State == flow.StateRunning {
			p.uniflow("runs", "cancel", string(id))
		}
	}
	for id, r := range p.runs("spin") {
		if r.State != flow.StateEnded {
			t.Errorf("run %s is %s", id, r.State)
		}
	}
	third := exec.CommandContext(t.Context(), "uniflow", "run", "spin")
	third.Dir = p.dir
	if out, err := third.CombinedOutput(); third.ProcessState.ExitCode() != exitRun {
		t.Errorf("got %v and %s; want the timeout of the run itself", err, out)
	}
}
