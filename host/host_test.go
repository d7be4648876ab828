package host_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host"
	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/api"
)

// begin opens a host that is closed at the end of the test.
func begin(t *testing.T, c host.Config) *host.Host {
	t.Helper()
	h, err := host.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

// define registers a function under the pipeline's name and defines the pipeline with that one step, "do".
func define(t *testing.T, h *host.Host, p flow.Pipeline, f host.Func) {
	t.Helper()
	p.Steps = map[string]flow.Step{"do": {Plugin: p.Name}}
	if err := errors.Join(h.Register(p.Name, f), h.Define(t.Context(), p)); err != nil {
		t.Fatal(err)
	}
}

// manifest writes a manifest with the echo module beside it, and pins the module.
func manifest(t *testing.T, dir, text string) string {
	t.Helper()
	module, err := os.ReadFile(filepath.Join("..", "plugins", "echo", "echo.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "uniflow.toml")
	for name, content := range map[string][]byte{
		"uniflow.toml": []byte(text), "echo.wasm": module,
		"uniflow.lock": []byte(lockOf(flow.DigestOf(module))),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// lockOf pins the echo module.
func lockOf(d flow.Digest) string { return lockOfFiles(map[string]flow.Digest{"echo.wasm": d}) }

// lockOfFiles pins files that have the imports of the echo module.
func lockOfFiles(files map[string]flow.Digest) string {
	var pins []string
	for _, name := range slices.Sorted(maps.Keys(files)) {
		pins = append(pins, fmt.Sprintf(`%q:{"digest":%q,"abi":"reactor uniflow_abi_v1","imports":["uniflow.fail","uniflow.input_read","uniflow.input_size","uniflow.log","uniflow.output"]}`, name, files[name]))
	}
	return `{"version":1,"files":{` + strings.Join(pins, ",") + `},"grants":{}}`
}

func TestStopLetsRunsEndThenCancels(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	h, err := host.Open(t.Context(), host.Config{Data: data, Drain: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	entered := make(chan struct{})
	define(t, h, flow.Pipeline{Name: "slow"}, func(ctx context.Context, _ *host.Call) error {
		close(entered)
		<-ctx.Done()
		return ctx.Err()
	})
	run, err := h.StartRun(t.Context(), flow.RunRequest{Pipeline: "slow"})
	if err != nil {
		t.Fatal(err)
	}
	<-entered
	if err := h.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := h.StartRun(t.Context(), flow.RunRequest{Pipeline: "slow"}); err == nil {
		t.Error("a stopped host takes a run")
	}
	again := begin(t, host.Config{Data: data, ReadOnly: true})
	record, err := again.Run(t.Context(), string(run.ID))
	if err != nil || record.State != flow.StateEnded || record.Outcome != flow.Cancelled || record.Reason != flow.ReasonStop {
		t.Errorf("got %+v, %v", record, err)
	}
}

func TestDataFolderHasOneHost(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	h := begin(t, host.Config{Data: data})
	if _, err := host.Open(t.Context(), host.Config{Data: data}); flow.CodeOf(err) == "" || !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) {
		t.Errorf("a second host: got %v", err)
	}
	define(t, h, flow.Pipeline{Name: "p"}, func(context.Context, *host.Call) error { return nil })
	if _, err := h.RunNow(t.Context(), "p", nil); err != nil {
		t.Fatal(err)
	}
	reader := begin(t, host.Config{Data: data, ReadOnly: true})
	runs, err := reader.Runs(t.Context(), flow.RunQuery{})
	if err != nil || len(runs) != 1 {
		t.Errorf("got %v, %v", runs, err)
	}
	_, startErr := reader.StartRun(t.Context(), flow.RunRequest{Pipeline: "p"})
	_, cancelErr := reader.Cancel(t.Context(), runs[0].ID)
	_, clearErr := reader.Clear(t.Context())
	_, rerunErr := reader.Rerun(t.Context(), flow.RerunRequest{Run: string(runs[0].ID)})
	_, backfillErr := reader.Backfill(t.Context(), flow.BackfillRequest{Name: "p"})
	for _, err := range []error{startErr, cancelErr, clearErr, rerunErr, backfillErr, reader.Unschedule(t.Context(), "p"), reader.Disable(t.Context(), "p"), reader.Start(t.Context()), reader.Define(t.Context(), flow.Pipeline{})} {
		if flow.CodeOf(err) != flow.CodeReadOnly {
			t.Errorf("got %v", err)
		}
	}
}

func TestOneRunOfAPipelineAtATime(t *testing.T) {
	t.Parallel()
	h := begin(t, host.Config{Data: t.TempDir()})
	var live, most, done atomic.Int64
	define(t, h, flow.Pipeline{Name: "p"}, func(context.Context, *host.Call) error {
		most.Store(max(most.Load(), live.Add(1)))
		done.Add(1)
		live.Add(-1)
		return nil
	})
	if err := h.ScheduleInterval(t.Context(), "often", "p", time.Second, nil); err != nil {
		t.Fatal(err)
	}
	if err := h.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 10 {
				if _, err := h.RunNow(t.Context(), "p", nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if most.Load() != 1 || done.Load() < 80 {
		t.Errorf("%d runs, %d of them at one time", done.Load(), most.Load())
	}
}

func TestScheduleStateSurvivesRestarts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	text := "version = 1\n[pipelines.hello]\nwasm = \"echo.wasm\"\nschedule = \"daily 02:00\"\n[schedules.extra]\npipeline = \"hello\"\nat = \"hourly :05\"\n"
	path := manifest(t, dir, text)
	open := func() *host.Host {
		h, err := host.Open(t.Context(), host.Config{Manifest: path})
		if err != nil {
			t.Fatal(err)
		}
		if err := h.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		return h
	}
	shut := func(h *host.Host) {
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
	}
	h := open()
	if err := errors.Join(h.Disable(t.Context(), "hello"), h.ScheduleHourly(t.Context(), "mine", "hello", 7, nil)); err != nil {
		t.Fatal(err)
	}
	err := h.Unschedule(t.Context(), "hello")
	if flow.CodeOf(err) != flow.CodeWritten || !strings.Contains(err.Error(), "uniflow.toml:4:1") {
		t.Errorf("unschedule of a written one: got %v", err)
	}
	if err := h.ScheduleHourly(t.Context(), "extra", "hello", 7, nil); flow.CodeOf(err) != flow.CodeExists {
		t.Errorf("a name of the manifest: got %v", err)
	}
	shut(h)

	// The schedule `extra` is taken out of the manifest meanwhile.
	before, _, _ := strings.Cut(text, "[schedules")
	manifest(t, dir, before)
	h = open()
	defer shut(h)
	got := map[string]flow.ScheduleInfo{}
	infos, err := h.Schedules(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range infos {
		got[i.Name] = i
	}
	if len(got) != 2 || got["hello"].Enabled || !got["hello"].Drift || !got["mine"].Enabled || got["mine"].Origin != flow.OriginAPI {
		t.Errorf("got %+v", got)
	}
	cleared, err := h.Clear(t.Context())
	if err != nil || fmt.Sprint(cleared) != "{[mine] [hello]}" {
		t.Errorf("got %v, %v", cleared, err)
	}
}

func TestContextIsCheckedBeforeARun(t *testing.T) {
	t.Parallel()
	h := begin(t, host.Config{Data: t.TempDir()})
	low := 2012.0
	define(t, h, flow.Pipeline{Name: "p", Params: map[string]flow.Param{"year": {Type: "integer", Default: json.RawMessage("2015"), Min: &low}}},
		func(_ context.Context, c *host.Call) error { return c.Output("year", c.Context["year"]) })
	for _, bad := range []map[string]any{{"year": "x"}, {"year": 2011}, {"year": 2012.5}, {"yaer": 2013}, {"year": func() {}}} {
		if _, err := h.RunNow(t.Context(), "p", bad); flow.CodeOf(err) == "" {
			t.Errorf("%v: got %v", bad, err)
		}
	}
	for year, given := range map[string]map[string]any{"2015": nil, "2013": {"year": 2013}} {
		result, err := h.RunNow(t.Context(), "p", given)
		if err != nil || string(result.Outputs["do"]["year"]) != year {
			t.Errorf("got %v, %v; want %s", result.Outputs, err, year)
		}
	}
	runs, err := h.Runs(t.Context(), flow.RunQuery{})
	if err != nil || len(runs) != 2 {
		t.Errorf("a refused request left a run: %v, %v", runs, err)
	}
	if err := h.Define(t.Context(), flow.Pipeline{Name: "q", Steps: map[string]flow.Step{"a": {Plugin: "none"}, "b": {Plugin: "p", When: "steps.c.x"}}}); len(asProblems(err)) < 2 {
		t.Errorf("not all mistakes of a pipeline are told: %v", err)
	}
}

func asProblems(err error) flow.Problems {
	p, _ := errors.AsType[flow.Problems](err)
	return p
}

// TestClientSeesWhatTheHostSees holds every reading verb of the API against the host itself, over both transports.
func TestClientSeesWhatTheHostSees(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := manifest(t, dir, "version = 1\n[alerts.ops]\nurl = \"https://ops.example.com\"\n[pipelines.hello]\nwasm = \"echo.wasm\"\nschedule = \"daily 02:00\"\ntimezone = \"Europe/Berlin\"\n")
	h := begin(t, host.Config{Manifest: path, API: &host.API{Listen: "127.0.0.1:0", Token: "sesame"}})
	if err := h.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	info, err := h.Info(t.Context())
	if err != nil || !info.Serving || info.Pipelines != 1 {
		t.Fatalf("got %+v, %v", info, err)
	}
	for name, client := range map[string]*api.Client{"socket": api.NewSocketClient(host.SocketPath(filepath.Join(dir, "data"))), "TCP": api.NewClient("http://"+info.Listen, "sesame")} {
		compareControls(t, name, h, client)
	}
	if _, err := api.NewClient("http://"+info.Listen, "").Info(t.Context()); flow.CodeOf(err) != flow.CodeUnauthorized {
		t.Errorf("without a token: got %v", err)
	}
}

func compareControls(t *testing.T, name string, h *host.Host, client flow.Control) {
	t.Helper()
	ctx := t.Context()
	started, err := client.StartRun(ctx, flow.RunRequest{Pipeline: "hello", Context: map[string]json.RawMessage{"who": json.RawMessage(`"Ada"`)}})
	if err != nil {
		t.Fatal(name, err)
	}
	var kinds []string
	if err := client.Follow(ctx, flow.EventQuery{Run: started.ID}, func(e flow.Event) bool {
		kinds = append(kinds, string(e.Kind))
		return true
	}); err != nil {
		t.Fatal(name, err)
	}
	if len(kinds) < 4 || kinds[len(kinds)-1] != string(flow.RunEnded) {
		t.Errorf("%s: got events %v", name, kinds)
	}
	if _, err := client.Cancel(ctx, started.ID); flow.CodeOf(err) != flow.CodeRunEnded {
		t.Errorf("%s: cancel of an ended run: got %v", name, err)
	}
	if _, err := client.Run(ctx, "none"); !errors.Is(err, flow.ErrNotFound) {
		t.Errorf("%s: got %v", name, err)
	}
	for verb, read := range map[string]func(flow.Control) (any, error){
		"pipelines": func(c flow.Control) (any, error) { return c.Pipelines(ctx) },
		"pipeline":  func(c flow.Control) (any, error) { return c.Pipeline(ctx, "hello") },
		"schedules": func(c flow.Control) (any, error) { return c.Schedules(ctx) },
		"next":      func(c flow.Control) (any, error) { return c.Next(ctx, "hello", time.Unix(0, 0), 3) },
		"health":    func(c flow.Control) (any, error) { return c.Health(ctx) },
		"judged":    func(c flow.Control) (any, error) { return c.ScheduleHealth(ctx) },
		"alerts":    func(c flow.Control) (any, error) { return c.Alerts(ctx) },
		"runs":      func(c flow.Control) (any, error) { return c.Runs(ctx, flow.RunQuery{Pipeline: "hello", Limit: 5}) },
		"run":       func(c flow.Control) (any, error) { return c.Run(ctx, "@last") },
		"prefix":    func(c flow.Control) (any, error) { return c.Run(ctx, strings.ToLower(string(started.ID[:20]))) },
		"logs":      func(c flow.Control) (any, error) { return c.Logs(ctx, flow.LogQuery{Run: started.ID}) },
		"events":    func(c flow.Control) (any, error) { return c.Events(ctx, flow.EventQuery{Run: started.ID}) },
		"slots":     func(c flow.Control) (any, error) { return c.Slots(ctx, flow.SlotQuery{Schedule: "hello"}) },
		"clocks":    func(c flow.Control) (any, error) { return c.ClockChanges(ctx, "hello", time.Unix(0, 0), 3) },
		"why":       func(c flow.Control) (any, error) { return c.Why(ctx, "hello", time.Unix(0, 0)) },
		"versions":  func(c flow.Control) (any, error) { return c.Versions(ctx, "hello") },
	} {
		want, wantErr := read(h)
		got, err := read(client)
		w, _ := json.Marshal(want)
		g, _ := json.Marshal(got)
		if string(w) == "null" { // in Go, no list is an empty list
			w = []byte("[]")
		}
		if err != nil || wantErr != nil || string(w) != string(g) || len(g) < 3 && verb != "slots" && verb != "versions" {
			t.Errorf("%s, %s: got %s, %v; want %s, %v", name, verb, g, err, w, wantErr)
		}
	}
}

func TestAddressesThatCannotBeServed(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for address, want := range map[string]flow.Code{taken.Addr().String(): flow.CodeListen, "0.0.0.0:0": flow.CodeNeedsToken, ":0": flow.CodeNeedsToken, "nonsense": flow.CodeListen, "127.0.0.1:99999": flow.CodeListen} {
		h := begin(t, host.Config{Data: t.TempDir(), API: &host.API{Listen: address}})
		if err := h.Start(t.Context()); flow.CodeOf(err) != want {
			t.Errorf("%s: got %v, want code %s", address, err, want)
		}
	}
}

func TestLongSocketPathFallsBack(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), strings.Repeat("long", 30))
	h := begin(t, host.Config{Data: data, API: &host.API{Listen: "none"}})
	if err := h.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	socket := host.SocketPath(data)
	if _, err := api.NewSocketClient(socket).Info(t.Context()); err != nil {
		t.Error(err)
	}
	if err := h.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Dir(socket)); !errors.Is(err, os.ErrNotExist) || host.SocketPath(data) == socket {
		t.Errorf("the folder of the socket, or its record, is left behind: %v, %s", err, host.SocketPath(data))
	}
}

// A host that was killed leaves the folder of its socket behind; the next one removes it.
func TestLongSocketPathOfADeadHost(t *testing.T) {
	t.Parallel()
	data, dead := filepath.Join(t.TempDir(), strings.Repeat("long", 30)), filepath.Join(t.TempDir(), "dead")
	for _, dir := range []string{data, dead} {
		if err := os.MkdirAll(dir, 0o750); err != nil {
			t.Fatal(err)
		}
	}
	socket := filepath.Join(dead, "uniflow.sock")
	if err := errors.Join(os.WriteFile(socket, nil, 0o600), os.WriteFile(filepath.Join(data, "uniflow.socket"), []byte(socket), 0o600)); err != nil {
		t.Fatal(err)
	}
	h := begin(t, host.Config{Data: data, API: &host.API{Listen: "none"}})
	if err := h.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dead); !errors.Is(err, os.ErrNotExist) || host.SocketPath(data) == socket {
		t.Errorf("the dead host's folder, or its record, is still there: %v, %s", err, host.SocketPath(data))
	}
}

func TestOpenTellsAllMistakes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := manifest(t, dir, "version = 1\n[plugins.a]\nwasm = \"none.wasm\"\n[pipelines.p]\nplugin = \"b\"\nschedule = \"dayly 2\"\n")
	_, err := host.Open(t.Context(), host.Config{Manifest: path})
	problems := asProblems(err)
	places := map[int]bool{}
	for _, p := range problems {
		places[p.Line] = true
	}
	if !places[3] || !places[5] || !places[6] {
		t.Errorf("got %v", err)
	}
	if _, err := host.Open(t.Context(), host.Config{}); flow.CodeOf(err) != flow.CodeData {
		t.Errorf("got %v", err)
	}
}

func TestWhatIsNotPinnedIsNotServed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := manifest(t, dir, "version = 1\n[pipelines.hello]\nwasm = \"echo.wasm\"\n")
	lock := filepath.Join(dir, "uniflow.lock")
	if err := os.Remove(lock); err != nil {
		t.Fatal(err)
	}
	if _, err := host.Open(t.Context(), host.Config{Manifest: path}); flow.CodeOf(err) != flow.CodeNotLocked {
		t.Errorf("got %v", err)
	}
	if err := begin(t, host.Config{Manifest: path, Build: true}).Close(); err != nil {
		t.Fatal(err)
	}
	if err := begin(t, host.Config{Manifest: path}).Close(); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(lock, []byte(lockOf(flow.DigestOf(nil))), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, build := range []bool{false, true} {
		if _, err := host.Open(t.Context(), host.Config{Manifest: path, Build: build}); flow.CodeOf(err) != flow.CodeDigest {
			t.Errorf("other bytes, build %v: got %v", build, err)
		}
	}
}
