//go:build unix

package process

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/plugintest"
)

// Environment of a host that is killed in the middle of an attempt.
const (
	doomedEnv       = "DOOMED_HOST" // the named pipe that its plugin opens
	doomedProgram   = "DOOMED_PROGRAM"
	doomedBehaviour = "DOOMED_BEHAVIOUR"
	doomedWorkerEnv = "DOOMED_WORKER" // the program of its workers
)

// doomedHost runs an attempt that does not end, and says when it has begun.
func doomedHost(pipe string) error {
	dir, err := os.MkdirTemp("", "doomed")
	if err != nil {
		return err
	}
	r, err := New(Config{Logger: quiet(), Dir: dir})
	if err != nil {
		return err
	}
	program := os.Getenv(doomedProgram)
	digest, err := digestOf(program)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	m, err := r.Load(ctx, flow.PlanPlugin{Name: "subject", Path: program, Digest: digest})
	if err != nil {
		return err
	}
	host := plugintest.NewHost(ctx)
	go func() {
		<-host.Logged()
		fmt.Println(dir)
	}()
	call := flow.Call{Context: flow.RunContext{With: map[string]json.RawMessage{
		"behaviour": json.RawMessage(`"` + os.Getenv(doomedBehaviour) + `"`), "message": json.RawMessage(`"` + pipe + `"`),
	}}}
	_, err = m.Call(ctx, call, host)
	return errors.Join(errors.New("the attempt ended"), err)
}

// kill9 starts a doomed host, waits until its plugin is at work, and kills the host.
func kill9(t *testing.T, behaviour, pipe string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), doomedEnv+"="+pipe, doomedProgram+"="+subject.path, doomedBehaviour+"="+behaviour)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	dir, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Errorf("the host did not begin: %v", err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = cmd.Wait() // killed, as asked
	if dir = strings.TrimSpace(dir); dir != "" {
		_ = os.RemoveAll(dir)
	}
}

func TestPluginDiesWithAHostThatIsKilled(t *testing.T) {
	t.Parallel()
	path, pipe := openPipe(t)
	kill9(t, "hold", path)
	waitForPipe(t, pipe)
}

func TestNextHostKillsWhatPluginsOfAKilledHostLeft(t *testing.T) {
	t.Parallel()
	path, pipe := openPipe(t)
	if newRuntime(t, Config{}).cgroups == nil {
		t.Log("no writable cgroup v2: children of plugins are not found again; the guard says so")
		return
	}
	kill9(t, "fork", path)
	newRuntime(t, Config{})
	waitForPipe(t, pipe)
}
