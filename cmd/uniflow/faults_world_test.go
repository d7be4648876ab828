//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/tool"
)

const faultManifest = `version = 1
[host]
secrets = "env:UNIFLOW_TEST_"
[alerts.sink]
url = { secret = "SINK" }
[plugins.slow]
process = "slow"
[plugins.nap]
wasm  = "guests/nap.wasm"
grant = { clock = true }
[pipelines.tick]
wasm     = "guests/answer.wasm"
schedule = "every 1s"
[pipelines.slow]
schedule = "every 1s"
[pipelines.slow.steps.first]
wasm = "guests/answer.wasm"
[pipelines.slow.steps.work]
plugin   = "slow"
function = "run"
with     = { answer = "${steps.first.answer}" }
[pipelines.long]
plugin   = "nap"
schedule = "every 1s"
[pipelines.manual]
wasm = "guests/answer.wasm"
[pipelines.fails]
wasm   = "guests/trap.wasm"
alerts = ["sink"]
`

// nap is a module that sleeps for 2.5 s, then answers.
func nap() []byte {
	subscription := make([]byte, 48) // tag 0 at 8: a clock; id 1 at 16: monotonic; the timeout at 24
	subscription[16] = 1
	for i := range 8 {
		subscription[24+i] = byte(uint64(2500*time.Millisecond) >> (8 * i))
	}
	answer := `{"answer":42}`
	vector := []byte{104, 0, 0, 0, byte(len(answer)), 0, 0, 0}
	poll := "\x41\x00\x41\xc0\x01\x41\x01\x41\xb8\x01\x10\x01\x1a" // poll_oneoff(0, 192, 1, 184)
	write := "\x41\x01\x41\x30\x41\x01\x41\x38\x10\x00\x1a"        // fd_write(1, 48, 1, 56)
	data := append(append(append([]byte{}, subscription...), vector...), make([]byte, 48)...)
	return module([][2]string{{"wasi_snapshot_preview1", "fd_write"}, {"wasi_snapshot_preview1", "poll_oneoff"}}, poll+write, string(data)+answer)
}

// template makes a project that worlds are copies of.
func template(ctx context.Context, dir string) error {
	err := errors.Join(writeGuests(filepath.Join(dir, "guests")),
		os.WriteFile(filepath.Join(dir, "guests", "nap.wasm"), nap(), 0o600),
		os.WriteFile(filepath.Join(dir, tool.ManifestName), []byte(faultManifest), 0o600))
	if err != nil {
		return err
	}
	for _, args := range [][]string{{"go", "build", "-o", filepath.Join(dir, "slow"), "./testdata/slow"}, {"uniflow", "build", "-f", filepath.Join(dir, tool.ManifestName)}} {
		if out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", args[0], err, out)
		}
	}
	return nil
}

// world is one project with the host that serves it, and what an observer has heard.
type world struct {
	ctx  context.Context
	dir  string
	rng  *rand.Rand
	host *served

	mu     sync.Mutex
	heard  map[int64]string    // events by number, as they were told
	asked  map[flow.RunID]bool // runs that were acknowledged
	wrong  []string            // violations
	timed  bool                // the last host was started after the fault
	first  time.Duration       // from its start to its first scheduled run
	unsure bool                // what was acknowledged may be gone: the record itself was destroyed
	bound  string              // a mounted folder
	sink   *httptest.Server    // the target of alerts
	told   map[string]int      // messages that it took, by their ids
}

func newWorld(ctx context.Context, from string, rng *rand.Rand) (*world, error) {
	dir, err := os.MkdirTemp("", "uf-*")
	if err != nil {
		return nil, err
	}
	w := &world{ctx: ctx, dir: dir, rng: rng, heard: map[int64]string{}, asked: map[flow.RunID]bool{}, told: map[string]int{}}
	w.sink = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.told[r.Header.Get("Webhook-Id")]++
	}))
	err = os.CopyFS(filepath.Join(dir, "guests"), os.DirFS(filepath.Join(from, "guests")))
	for _, name := range []string{tool.ManifestName, tool.ManifestName[:len("uniflow")] + ".lock"} {
		b, readErr := os.ReadFile(filepath.Join(from, name))
		err = errors.Join(err, readErr, os.WriteFile(w.path(name), b, 0o600))
	}
	return w, errors.Join(err, os.Link(filepath.Join(from, "slow"), w.path("slow")))
}

func (w *world) path(name string) string { return filepath.Join(w.dir, filepath.FromSlash(name)) }

func (w *world) violation(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wrong = append(w.wrong, fmt.Sprintf(format, args...))
}

func (w *world) close() {
	if w.host != nil {
		w.host.kill()
	}
	w.sink.Close()
	if w.bound != "" {
		_ = syscall.Unmount(w.bound, syscall.MNT_DETACH)
	}
	_ = os.RemoveAll(w.dir)
}

// served is a host process.
type served struct {
	cmd    *exec.Cmd
	stderr bytes.Buffer
	done   chan struct{}
	begun  time.Time
	ready  time.Time
}

func (h *served) kill() {
	_ = h.cmd.Process.Kill()
	<-h.done
}

func (h *served) exited(within time.Duration) bool {
	select {
	case <-h.done: // whatever the time
		return true
	default:
	}
	select {
	case <-h.done:
		return true
	case <-time.After(within):
		return false
	}
}

// launch starts a host and does not wait for it.
func (w *world) launch(env ...string) *served {
	h := &served{cmd: exec.CommandContext(w.ctx, "uniflow", "serve", "--listen", "none"), done: make(chan struct{}), begun: time.Now()}
	h.cmd.Dir, h.cmd.Stderr, h.cmd.WaitDelay = w.dir, &h.stderr, time.Second
	h.cmd.Env = append(append(os.Environ(), "UNIFLOW_TEST_SINK="+w.sink.URL), env...)
	if err := h.cmd.Start(); err != nil {
		w.violation("start a host: %v", err)
		close(h.done)
		return h
	}
	go func() {
		_ = h.cmd.Wait() // how it ended is in its state
		close(h.done)
	}()
	return h
}

// serve starts a host and waits until it serves; false when it ends before.
func (w *world) serve(env ...string) bool {
	h := w.launch(env...)
	w.host = h
	for deadline := time.Now().Add(startTime); time.Now().Before(deadline); {
		if link, err := w.connect(); err == nil {
			_ = link.Close()
			h.ready = time.Now()
			w.observe()
			return true
		}
		if h.exited(10 * time.Millisecond) {
			return false
		}
	}
	w.violation("a host does not serve within %s", startTime)
	h.kill()
	return false
}

// mustServe is serve where nothing stands in the way.
func (w *world) mustServe() bool {
	if w.serve() {
		return true
	}
	w.violation("the host does not start: %s", w.host.stderr.String())
	return false
}

func (w *world) connect() (*tool.Link, error) {
	ctx, cancel := context.WithTimeout(w.ctx, 5*time.Second)
	defer cancel()
	return tool.Connect(ctx, tool.Target{Manifest: w.path(tool.ManifestName)}, tool.Serving)
}

// observe notes what the host tells, for as long as it lives.
func (w *world) observe() {
	link, err := w.connect()
	if err != nil {
		return
	}
	h := w.host
	ctx, cancel := context.WithCancel(w.ctx)
	go func() {
		<-h.done
		cancel()
	}()
	go func() {
		defer link.Close()
		_ = link.Follow(ctx, flow.EventQuery{}, func(e flow.Event) bool { // its end is that of the host
			w.hear(&e)
			return true
		})
	}()
}

func (w *world) hear(e *flow.Event) {
	text, err := json.Marshal(e)
	w.mu.Lock()
	defer w.mu.Unlock()
	if before, ok := w.heard[e.Seq]; ok && before != string(text) && !w.unsure {
		w.wrong = append(w.wrong, fmt.Sprintf("event %d was %s and is %s", e.Seq, before, text))
	}
	if err == nil {
		w.heard[e.Seq] = string(text)
	}
}

// live lets the world go on for a while, and asks for runs meanwhile.
func (w *world) live(atLeast, atMost time.Duration) {
	until := time.Now().Add(atLeast + time.Duration(w.rng.Int64N(int64(atMost-atLeast)+1)))
	for time.Now().Before(until) && !w.host.exited(0) {
		if w.rng.IntN(4) == 0 {
			w.ask()
		}
		w.host.exited(min(time.Until(until), time.Duration(50+w.rng.IntN(200))*time.Millisecond))
	}
}

// ask starts a run of some pipeline by hand.
func (w *world) ask() {
	if w.rng.IntN(4) == 0 {
		w.askFor("long") // where it waits
		return
	}
	w.askFor("manual")
}

// askFor starts a run by hand; what is acknowledged must never be lost.
func (w *world) askFor(pipeline string) {
	link, err := w.connect()
	if err != nil {
		return
	}
	defer link.Close()
	ctx, cancel := context.WithTimeout(w.ctx, 5*time.Second)
	defer cancel()
	if r, err := link.StartRun(ctx, flow.RunRequest{Pipeline: pipeline}); err == nil {
		w.mu.Lock()
		w.asked[r.ID] = true
		w.mu.Unlock()
	}
}

// proc is a process that cannot be mistaken for another of the same number.
type proc struct {
	pid   int
	start string // in ticks since the machine's start
}

// processes finds those whose program or folder lies in the world's data.
func (w *world) processes() []proc {
	var found []proc
	list, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range list {
		exe, _ := os.Readlink(dir + "/exe")
		cwd, _ := os.Readlink(dir + "/cwd")
		data := w.path("data") + "/"
		if !strings.HasPrefix(exe, data) && !strings.HasPrefix(cwd, data) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(dir)); err == nil {
			if start := startOf(pid); start != "" {
				found = append(found, proc{pid, start})
			}
		}
	}
	return found
}

// startOf is when a process started; "" when it is gone, or dead and not yet awaited.
func startOf(pid int) string {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 20 || fields[0] == "Z" || fields[0] == "X" {
		return ""
	}
	return fields[19]
}
