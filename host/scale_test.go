package host_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host"
	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/plugintest/hostile"
	"github.com/uniflow-dev/uniflow/host/internal/project"
	bt "github.com/uniflow-dev/uniflow/host/internal/wasm/binary/binarytest"
)

// scaleEnv asks for the long forms of these tests, whose figures count: UNIFLOW_SCALE=1 go test ./host -run Scale -v.
const scaleEnv = "UNIFLOW_SCALE"

func long() bool { return os.Getenv(scaleEnv) != "" }

// latest is how late a step may begin. The short forms run beside the tests of other packages.
func latest() time.Duration {
	if long() {
		return time.Second
	}
	return 5 * time.Second
}

// quietModule is a reactor that does nothing.
func quietModule() []byte {
	var b bt.Builder
	b.Memory(1)
	b.Export("uniflow_abi_v1", b.Func(b.Type(nil, nil), 0))
	b.Export("uniflow_run", b.Func(b.Type(nil, []byte{bt.I32}), 0, bt.Const(0)))
	return b.Bytes()
}

// tenant writes the manifest of a tenant with its modules and their lock.
func tenant(t *testing.T, dir, name, manifest string, modules map[string][]byte) {
	t.Helper()
	files := map[string][]byte{"uniflow.toml": []byte("version = 1\n" + manifest)}
	maps.Copy(files, modules)
	lock := filepath.Join(dir, flow.DigestOf(files["uniflow.toml"]).Hex())
	known, err := os.ReadFile(lock)
	if err == nil {
		files["uniflow.lock"] = known
	}
	own := filepath.Join(dir, "tenants", name)
	if err := os.MkdirAll(own, 0o700); err != nil {
		t.Fatal(err)
	}
	for file, content := range files {
		if err := os.WriteFile(filepath.Join(own, file), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if known != nil {
		return
	}
	if _, err := project.Load(t.Context(), filepath.Join(own, "uniflow.toml"), project.Options{Build: true, Data: t.TempDir()}); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(filepath.Join(own, "uniflow.lock"), lock); err != nil {
		t.Fatal(err)
	}
}

// operate opens a host on an operator's manifest for all folders of tenants, and starts it. It returns how long that took.
func operate(t *testing.T, dir, rest string) (*host.Host, time.Duration) {
	t.Helper()
	path := filepath.Join(dir, "uniflow.toml")
	if err := os.WriteFile(path, []byte("version = 1\n"+rest), 0o600); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	h := begin(t, host.Config{Manifest: path, API: &host.API{Listen: "127.0.0.1:0"}})
	if err := h.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return h, time.Since(began)
}

// times are measured durations.
type times []time.Duration

func (d times) at(part float64) time.Duration {
	if len(d) == 0 {
		return 0
	}
	slices.Sort(d)
	return d[min(int(part*float64(len(d))), len(d)-1)].Round(100 * time.Microsecond)
}

func (d times) String() string {
	return fmt.Sprintf("n %d, p50 %s, p99 %s, max %s", len(d), d.at(0.5), d.at(0.99), d.at(1))
}

// lateness reads how long after their slots came due the runs of a tenant's schedules became live, had their step begun,
// and ended.
func lateness(t *testing.T, h *host.Host, tenant string, since time.Time) (live, begun, ended times) {
	t.Helper()
	schedules, err := h.Schedules(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	delays := map[string]time.Duration{}
	for i := range schedules {
		delays[schedules[i].Name] = schedules[i].Delay.Std()
	}
	runs, err := h.Runs(t.Context(), flow.RunQuery{Tenant: tenant, Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for i := range runs {
		r := &runs[i]
		due := r.Trigger.ScheduledAt.Add(delays[flow.ID(tenant, r.Trigger.Schedule)])
		if due.Before(since) || r.Trigger.Kind != flow.TriggerSchedule || r.EndedAt == nil {
			continue
		}
		whole, err := h.Run(t.Context(), string(r.ID))
		if err != nil {
			t.Fatal(err)
		}
		live, ended = append(live, r.StartedAt.Sub(due)), append(ended, r.EndedAt.Sub(due))
		for _, s := range whole.Steps {
			if s.StartedAt != nil {
				begun = append(begun, s.StartedAt.Sub(due))
			}
			if s.Outcome != flow.Succeeded {
				t.Errorf("run %s of %s: step %s %s (%s): %s", r.ID, tenant, s.Name, s.Outcome, s.Reason, s.Message)
			}
		}
	}
	return live, begun, ended
}

// residents is the memory of the host and of its workers; zero where the system does not say. What all workers have of
// one program is counted for each of them; apart is what they do not share.
type residents struct {
	own, workers, apart flow.Size
	n                   int
}

func (r residents) String() string {
	return fmt.Sprintf("the host has %s, %d workers %s, of which they share all but %s", r.own, r.n, r.workers, r.apart)
}

func resident() (r residents) {
	self := os.Getpid()
	all, _ := filepath.Glob("/proc/[0-9]*/status")
	for _, path := range all {
		text, _ := os.ReadFile(path)
		var pid, parent int
		var size, apart flow.Size
		for line := range strings.Lines(string(text)) {
			key, value, _ := strings.Cut(line, ":")
			n, _ := strconv.Atoi(strings.Fields(value + " 0")[0])
			switch key {
			case "Pid":
				pid = n
			case "PPid":
				parent = n
			case "VmRSS":
				size = flow.Size(n) << 10
			case "RssAnon":
				apart = flow.Size(n) << 10
			}
		}
		switch {
		case pid == self:
			r.own = size
		case parent == self:
			r.workers, r.apart, r.n = r.workers+size, r.apart+apart, r.n+1
		}
	}
	return r
}

// watchHealth asks a host for its health until ctx ends, and returns how long each answer took.
func watchHealth(ctx context.Context, t *testing.T, h *host.Host) <-chan times {
	t.Helper()
	info, err := h.Info(ctx)
	if err != nil {
		t.Fatal(err)
	}
	took := make(chan times, 1)
	go func() {
		var all times
		client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
		for ctx.Err() == nil {
			began := time.Now()
			resp, err := client.Get("http://" + info.Listen + "/healthz")
			if err != nil {
				t.Error(err)
				break
			}
			_ = resp.Body.Close()
			all = append(all, time.Since(began))
			time.Sleep(20 * time.Millisecond)
		}
		took <- all
	}()
	return took
}

// Many tenants with many pipelines start soon and take little, and each tenant's schedule fires on time in a worker of its
// own.
func TestScaleOfTenants(t *testing.T) {
	if hostile.Racing {
		t.Skip("the detector makes the start of workers ten times slower")
	}
	tenants, pipelines, every, watch := 10, 3, "every 2s", 5*time.Second
	if long() {
		tenants, pipelines, every, watch = 100, 10, "every 1m", 2*time.Minute
	}
	dir := t.TempDir()
	module := quietModule()
	for i := range tenants {
		var text strings.Builder
		for p := range pipelines {
			fmt.Fprintf(&text, "[pipelines.p%d]\nwasm = \"quiet.wasm\"\n", p)
		}
		fmt.Fprintf(&text, "[schedules.s]\npipeline = \"p0\"\nat = %q\n", every)
		if long() && os.Getenv(scaleEnv) != "together" { // as schedules of many are meant to be
			text.WriteString("jitter = \"30s\"\n")
		}
		tenant(t, dir, fmt.Sprintf("t%03d", i), text.String(), map[string][]byte{"quiet.wasm": module})
	}
	const operator = "[tenants.all]\nmanifest = \"tenants/*/uniflow.toml\"\n"
	h, cold := operate(t, dir, operator)
	t.Logf("%d tenants with %d pipelines each: first start in %s", tenants, pipelines, cold)
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	h, warm := operate(t, dir, operator)
	t.Logf("next start in %s; %s", warm, resident())
	if warm > 3*latest() {
		t.Errorf("the start took %s, want %s at most", warm, 3*latest())
	}
	since := time.Now()
	var most residents
	for end := since.Add(watch); time.Now().Before(end); time.Sleep(watch / 100) {
		if now := resident(); now.own+now.workers > most.own+most.workers {
			most = now
		}
	}
	var live, begun, ended times
	for i := range tenants {
		l, b, e := lateness(t, h, fmt.Sprintf("t%03d", i), since)
		live, begun, ended = append(live, l...), append(begun, b...), append(ended, e...)
	}
	t.Logf("after a slot its run is live: %s; its step has begun: %s; it has ended: %s", live, begun, ended)
	t.Logf("at most, %s", most)
	if len(live) < tenants || begun.at(1) > latest() {
		t.Errorf("%d slots, the last step began %s late; want %d slots at least, each within %s", len(live), begun.at(1), tenants, latest())
	}
	if infos, err := h.Tenants(t.Context()); err != nil || len(infos) != tenants+1 || infos[1].Usage.RunsPerHour == 0 || infos[1].Pipelines != pipelines {
		t.Errorf("%d tenants, of which the first is %+v, %v", len(infos), infos[1:min(2, len(infos))], err)
	}
}
