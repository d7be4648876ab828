package host_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host"
	"github.com/uniflow-dev/uniflow/host/flow"
)

// crashEnv holds the data folder of the child that is to be killed.
const crashEnv = "UNIFLOW_TEST_CRASH"

func TestMain(m *testing.M) {
	host.WorkerMain()
	if data := os.Getenv(crashEnv); data != "" {
		victim(data)
	}
	os.Exit(m.Run())
}

// twoSteps defines a pipeline whose first step notes in a file that it ran, and whose second does `last`.
func twoSteps(ctx context.Context, h *host.Host, data string, last host.Func) error {
	first := func(_ context.Context, c *host.Call) error {
		f, err := os.OpenFile(filepath.Join(data, "first"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		_, err = f.WriteString("x")
		return errors.Join(err, f.Close(), c.Output("made", "by the first life"))
	}
	err := errors.Join(h.Register("first", first), h.Register("last", last))
	return errors.Join(err, h.Define(ctx, flow.Pipeline{Name: "p", Schedule: "every 1s", Steps: map[string]flow.Step{
		"first": {Plugin: "first"},
		"last":  {Plugin: "last", With: map[string]json.RawMessage{"made": json.RawMessage(`"${steps.first.made}"`)}},
	}}))
}

// victim serves until it is killed; it says when its run is in the second step.
func victim(data string) {
	ctx := context.Background()
	h, err := host.Open(ctx, host.Config{Data: data})
	if err == nil {
		err = twoSteps(ctx, h, data, func(ctx context.Context, c *host.Call) error {
			fmt.Println(c.RunID, c.IdempotencyKey)
			<-ctx.Done()
			return ctx.Err()
		})
	}
	if err == nil {
		err = h.Start(ctx)
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	time.Sleep(time.Minute)
	os.Exit(1)
}

// TestKilledHostLeavesNothingRunning kills a host in mid step with SIGKILL and starts another on its folder: the run is
// resumed at the step in flight, its record is whole, and the next slot fires.
func TestKilledHostLeavesNothingRunning(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(os.Environ(), crashEnv+"="+data)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	killErr := child.Process.Kill()
	_ = child.Wait()
	id, key, found := strings.Cut(strings.TrimSpace(line), " ")
	if err != nil || killErr != nil || !found {
		t.Fatalf("got %q, %v, %v", line, err, killErr)
	}

	h := begin(t, host.Config{Data: data})
	keys := make(chan string, 100)
	if err := twoSteps(t.Context(), h, data, func(_ context.Context, c *host.Call) error {
		keys <- c.IdempotencyKey
		return c.Output("got", c.With["made"])
	}); err != nil {
		t.Fatal(err)
	}
	if err := h.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	other := false
	if err := h.Follow(t.Context(), flow.EventQuery{}, func(e flow.Event) bool {
		other = e.Kind == flow.RunEnded && string(e.Run) != id
		return !other
	}); err != nil {
		t.Fatal(err)
	}
	record, err := h.Run(t.Context(), id)
	if err != nil || record.Outcome != flow.Succeeded || record.Epoch != 2 || len(record.Steps) != 2 {
		t.Fatalf("the resumed run: got %+v, %v", record, err)
	}
	last := record.Steps[1]
	if len(last.Attempts) != 2 || last.Attempts[0].Reason != flow.ReasonLost || string(last.Outputs["got"]) != `"by the first life"` {
		t.Errorf("the step in flight: got %+v", last)
	}
	if got := <-keys; got != key {
		t.Errorf("the idempotency key changed from %s to %s", key, got)
	}
	if len(record.Steps[0].Attempts) != 1 {
		t.Errorf("the finished step was executed again: %+v", record.Steps[0])
	}
	runs, err := h.Runs(t.Context(), flow.RunQuery{State: flow.StateRunning})
	if err != nil || len(runs) > 1 {
		t.Errorf("left running: %v, %v", runs, err)
	}
}
