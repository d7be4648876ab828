package sqlite

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// childDir names the folder in which this binary, started by a test, writes until it is killed.
const childDir = "UNIFLOW_TEST_LEDGER_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		fmt.Fprintln(os.Stderr, writeForEver(dir))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// writeForEver writes from several goroutines and prints the name of each write once it was acknowledged.
func writeForEver(dir string) error {
	ctx := context.Background()
	s, err := Open(ctx, Config{Path: filepath.Join(dir, "uniflow.db"), Boot: "child"})
	if err != nil {
		return err
	}
	offered, err := s.Offer(ctx, testOffer("child"))
	if err != nil {
		return err
	}
	fmt.Println("live", offered.Claim.Run)
	var wait sync.WaitGroup
	var failed error
	for worker := range 8 {
		wait.Go(func() {
			for n := 0; ; n++ {
				name := fmt.Sprintf("step_%d_%d", worker, n)
				if err := s.Commit(ctx, offered.Claim, flow.Event{Kind: flow.AttemptStarted, Step: name, Attempt: 1}, flow.Event{Kind: flow.StepEnded, Step: name, Ending: flow.Ending{Outcome: flow.Succeeded}}); err != nil {
					failed = err
					return
				}
				fmt.Println("step", name) // one write call a line
			}
		})
	}
	wait.Wait()
	return failed
}

func testOffer(pipeline string) flow.Offer {
	return flow.Offer{Run: flow.Run{ID: flow.NewRunID(testTime()), Tenant: "default", Pipeline: pipeline, Trigger: flow.Trigger{Kind: flow.TriggerManual, ScheduledAt: testTime()}}}
}

// startChild starts a writer process and returns its output.
func startChild(t *testing.T, dir string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
	child.Env = append(os.Environ(), childDir+"="+dir)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = child.Process.Kill() })
	return child, bufio.NewScanner(out)
}

func TestAcknowledgedWritesSurviveKill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for round := range 3 {
		child, lines := startChild(t, dir)
		var live flow.RunID
		var acknowledged []string
		for lines.Scan() {
			word, rest, _ := strings.Cut(lines.Text(), " ")
			if word == "live" {
				live = flow.RunID(rest)
				continue
			}
			acknowledged = append(acknowledged, rest)
			if len(acknowledged) == 200 {
				if err := child.Process.Kill(); err != nil { // the lines already written are read to the end
					t.Fatal(err)
				}
			}
		}
		if err := child.Wait(); err == nil || len(acknowledged) < 200 {
			t.Fatalf("round %d: the child ended by itself: %v, %d writes", round, err, len(acknowledged))
		}
		s := open(t, dir, fmt.Sprint("parent-", round)) // checks the file, and needs the lock that the child held
		r, err := s.Run(t.Context(), live)
		if err != nil {
			t.Fatal(err)
		}
		kept := map[string]flow.StepRecord{}
		for _, step := range r.Steps {
			if step.State != flow.StateEnded || len(step.Attempts) != 1 {
				t.Fatalf("half a commit: %+v", step)
			}
			kept[step.Name] = step
		}
		for _, name := range acknowledged {
			if _, ok := kept[name]; !ok {
				t.Fatalf("round %d: %s was acknowledged and is gone", round, name)
			}
		}
		claimed, _, err := s.Recover(t.Context())
		if err != nil || len(claimed) != 1 || claimed[0].Run.ID != live {
			t.Fatalf("recovered %v, %v", claimed, err)
		}
		if err := s.Finish(t.Context(), claimed[0].Claim, flow.Ending{Outcome: flow.Succeeded}); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestASecondHostIsRefusedByTheFirstOnesPID(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	child, lines := startChild(t, dir)
	if !lines.Scan() {
		t.Fatal("the child said nothing")
	}
	path := filepath.Join(dir, "uniflow.db")
	_, err := Open(t.Context(), Config{Path: path, Boot: "second"})
	if flow.CodeOf(err) != flow.CodeLedgerLocked || !strings.Contains(err.Error(), fmt.Sprintf("pid %d", child.Process.Pid)) {
		t.Fatalf("a second host: %v", err)
	}
	reader := open(t, dir, "")
	if runs, err := reader.Runs(t.Context(), flow.RunQuery{}); err != nil || len(runs) != 1 {
		t.Fatalf("a reader beside it: %v, %v", runs, err)
	}
}
