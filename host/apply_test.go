package host_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host"
	"github.com/uniflow-dev/uniflow/host/flow"
)

// serving starts a host that the caller closes.
func serving(t *testing.T, path string) *host.Host {
	t.Helper()
	h, err := host.Open(t.Context(), host.Config{Manifest: path})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return h
}

// hello is a manifest with one pipeline that puts a word out.
func hello(word string) string {
	return fmt.Sprintf("version = 1\n[pipelines.hello]\nlabel = %[1]q\n[pipelines.hello.steps.main]\nwasm = \"echo.wasm\"\nwith = { word = %[1]q }\n[schedules.often]\npipeline = \"hello\"\nat = \"every 1h\"\n", word)
}

func apply(t *testing.T, h *host.Host, r flow.ApplyRequest) flow.ApplyReport {
	t.Helper()
	report, err := h.Apply(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// says is the word that a run of hello puts out.
func says(t *testing.T, h *host.Host) string {
	t.Helper()
	result, err := h.RunNow(t.Context(), "hello", nil)
	if err != nil {
		t.Fatal(err)
	}
	return wordOf(t, result.Outputs["main"])
}

func wordOf(t *testing.T, outputs map[string]json.RawMessage) string {
	t.Helper()
	var with struct{ Word string }
	if err := json.Unmarshal(outputs["with"], &with); err != nil {
		t.Fatal(err)
	}
	return with.Word
}

func deployments(t *testing.T, h *host.Host) []flow.Deployment {
	t.Helper()
	found, err := h.Deployments(t.Context(), flow.DeploymentQuery{})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// An apply changes what runs, or nothing at all.
func TestApplyIsAllOrNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	h := serving(t, manifest(t, dir, hello("one")))
	defer h.Close()
	stays := func(why string, want flow.Code, r flow.ApplyRequest, ctx context.Context) {
		t.Helper()
		_, err := h.Apply(ctx, r)
		problems, isProblems := errors.AsType[flow.Problems](err)
		if err == nil || want != "" && flow.CodeOf(err) != want && (!isProblems || problems[0].Code != want) {
			t.Errorf("%s: got %v", why, err)
		}
		if got := says(t, h); got != "one" || len(deployments(t, h)) != 1 {
			t.Errorf("%s: %q runs after it, deployments %v", why, got, deployments(t, h))
		}
	}
	for why, text := range map[string]string{
		"no TOML":            hello("two") + "[",
		"a mistake":          hello("two") + "at2 = 1\n",
		"an unpinned plugin": strings.Replace(hello("two"), "echo.wasm", "other.wasm", 1),
	} {
		manifest(t, dir, text)
		stays(why, "", flow.ApplyRequest{}, t.Context())
	}
	manifest(t, dir, hello("two"))
	stays("not what was reviewed", flow.CodeReviewed, flow.ApplyRequest{Expect: deployments(t, h)[0].Digest}, t.Context())
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	stays("a caller that has gone", "", flow.ApplyRequest{}, gone)
	dry := apply(t, h, flow.ApplyRequest{DryRun: true})
	if dry.Applied || len(dry.Changes) != 1 || says(t, h) != "one" {
		t.Errorf("a dry run: %+v", dry)
	}
	// The folder of kept plugins is in the way, as a full disk is.
	kept := filepath.Join(dir, "data", "plugins")
	module, err := os.ReadFile(filepath.Join(dir, "echo.wasm"))
	if err = errors.Join(err, os.RemoveAll(kept), os.WriteFile(kept, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	other := bytes.ReplaceAll(module, []byte("echoing"), []byte("ECHOING"))
	replace := func() {
		if err := errors.Join(os.WriteFile(filepath.Join(dir, "echo.wasm"), other, 0o600), os.WriteFile(filepath.Join(dir, "uniflow.lock"), []byte(lockOf(flow.DigestOf(other))), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	replace()
	stays("plugins that cannot be kept", flow.CodeData, flow.ApplyRequest{}, t.Context())
	if err := os.Remove(kept); err != nil {
		t.Fatal(err)
	}
	report := apply(t, h, flow.ApplyRequest{Expect: apply(t, h, flow.ApplyRequest{DryRun: true}).Deployment.Digest, Metadata: map[string]string{"ticket": "7"}})
	list := deployments(t, h)
	if !report.Applied || says(t, h) != "two" || len(list) != 2 || list[0].Seq != report.Deployment.Seq || list[0].Cause != "apply" || list[0].Metadata["ticket"] != "7" {
		t.Errorf("applied %+v, deployments %+v", report, list)
	}
	manifest(t, dir, "# a comment\n"+hello("two"))
	replace()
	if report := apply(t, h, flow.ApplyRequest{}); report.Applied || len(deployments(t, h)) != 2 {
		t.Errorf("a comment was applied: %+v", report)
	}
	if err := h.Unschedule(t.Context(), "often"); err == nil || !strings.Contains(err.Error(), "uniflow.toml:8:12") {
		t.Errorf("the place of a schedule after a comment: %v", err)
	}
}

// Applies at one time come one after the other; a host that stops takes none.
func TestAppliesAtOneTime(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	h := serving(t, manifest(t, dir, hello("one")))
	manifest(t, dir, hello("two"))
	var group sync.WaitGroup
	applied := make(chan bool, 8)
	for range cap(applied) {
		group.Go(func() {
			report, err := h.Apply(t.Context(), flow.ApplyRequest{})
			if err != nil {
				t.Error(err)
			}
			applied <- report.Applied
		})
	}
	group.Wait()
	close(applied)
	n := 0
	for a := range applied {
		if a {
			n++
		}
	}
	if n != 1 || says(t, h) != "two" || len(deployments(t, h)) != 2 {
		t.Errorf("applied %d times: %+v", n, deployments(t, h))
	}
	manifest(t, dir, hello("three"))
	group.Go(func() {
		if _, err := h.Apply(t.Context(), flow.ApplyRequest{}); err != nil && flow.CodeOf(err) != flow.CodeStopping && !strings.Contains(err.Error(), "clos") {
			t.Errorf("an apply beside the stop: %v", err)
		}
	})
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	group.Wait()
	if _, err := h.Apply(t.Context(), flow.ApplyRequest{}); flow.CodeOf(err) != flow.CodeStopping {
		t.Errorf("a stopped host: %v", err)
	}
	again := serving(t, filepath.Join(dir, "uniflow.toml"))
	defer again.Close()
	if got := says(t, again); got != "three" || deployments(t, again)[0].Cause != "start" && deployments(t, again)[0].Cause != "apply" {
		t.Errorf("after a restart: %q", got)
	}
}

// A version can be gone back to, with the bytes of its plugins, whatever became of their files; it holds across restarts,
// until the manifest has another version.
func TestRollback(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := manifest(t, dir, hello("one"))
	h := serving(t, path)
	first := says(t, h)
	module, err := os.ReadFile(filepath.Join(dir, "echo.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	other := bytes.ReplaceAll(module, []byte("echoing"), []byte("ECHOING"))
	edit := func(word string) {
		manifest(t, dir, hello(word))
		if err := errors.Join(os.WriteFile(filepath.Join(dir, "echo.wasm"), other, 0o600), os.WriteFile(filepath.Join(dir, "uniflow.lock"), []byte(lockOf(flow.DigestOf(other))), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	edit("two")
	apply(t, h, flow.ApplyRequest{})
	second := says(t, h)
	if _, err := h.Rollback(t.Context(), flow.RollbackRequest{Pipeline: "hello", To: "none"}); !errors.Is(err, flow.ErrNotFound) {
		t.Errorf("to a version that never was: %v", err)
	}
	info, err := h.Rollback(t.Context(), flow.RollbackRequest{Pipeline: "hello"})
	if err != nil || info.Label != "one" || first != "one" || second != "two" || says(t, h) != "one" {
		t.Fatalf("rolled back to %+v, %v", info, err)
	}
	versions, err := h.Versions(t.Context(), "hello")
	if err != nil || len(versions) != 3 || !versions[0].Present || versions[1].Present || !versions[2].Present {
		t.Errorf("versions %+v, %v", versions, err)
	}
	run, err := h.RunVersion(t.Context(), "@last")
	if err != nil || run.Deployment != 3 || run.Label != "one" || len(run.Plugins) != 1 || run.Success == "" || len(run.Changes) != 3 {
		t.Errorf("the version of a run: %+v, %v", run, err)
	}
	apply(t, h, flow.ApplyRequest{}) // the same manifest: the rollback holds
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	h = serving(t, path)
	defer h.Close()
	if got := says(t, h); got != "one" || len(deployments(t, h)) != 3 {
		t.Errorf("after a restart %q runs, deployments %+v", got, deployments(t, h))
	}
	if _, err := h.Rollback(t.Context(), flow.RollbackRequest{Pipeline: "hello", To: "two"}); err != nil || says(t, h) != "two" {
		t.Errorf("the manifest's own version: %v", err)
	}
	run, err = h.RunVersion(t.Context(), "@last")
	if err != nil || len(run.Changes) < 3 || !strings.HasPrefix(run.Changes[0], "version ") {
		t.Errorf("what changed since the last success: %+v, %v", run, err)
	}
	if _, err := h.Rollback(t.Context(), flow.RollbackRequest{Pipeline: "hello", To: "one"}); err != nil {
		t.Fatal(err)
	}
	edit("three")
	if report := apply(t, h, flow.ApplyRequest{}); len(report.Problems) != 1 || says(t, h) != "three" {
		t.Errorf("another version in the manifest: %+v", report)
	}
}

// Runs that wait execute the version that they were asked for, across a restart and with its file replaced.
func TestWaitingRunsKeepTheirVersion(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := manifest(t, dir, hello("one"))
	h := serving(t, path)
	gate, entered := make(chan struct{}), make(chan struct{})
	define(t, h, flow.Pipeline{Name: "busy"}, func(ctx context.Context, _ *host.Call) error {
		close(entered)
		select {
		case <-gate:
		case <-ctx.Done():
		}
		return ctx.Err()
	})
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	// One turn alone, which another pipeline takes: the run is live, and has executed nothing when the host ends.
	h, err := host.Open(t.Context(), host.Config{Manifest: path, Parallel: 1, Drain: -1})
	if err != nil {
		t.Fatal(err)
	}
	define(t, h, flow.Pipeline{Name: "busy"}, func(ctx context.Context, _ *host.Call) error {
		close(entered)
		<-ctx.Done()
		return ctx.Err()
	})
	if err := h.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := h.StartRun(t.Context(), flow.RunRequest{Pipeline: "busy"}); err != nil {
		t.Fatal(err)
	}
	<-entered
	var ids []flow.RunID
	for range 3 {
		run, err := h.StartRun(t.Context(), flow.RunRequest{Pipeline: "hello"})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, run.ID)
	}
	module, err := os.ReadFile(filepath.Join(dir, "echo.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	other := bytes.ReplaceAll(module, []byte("echoing"), []byte("ECHOING"))
	manifest(t, dir, hello("two"))
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "echo.wasm"), other, 0o600), os.WriteFile(filepath.Join(dir, "uniflow.lock"), []byte(lockOf(flow.DigestOf(other))), 0o600)); err != nil {
		t.Fatal(err)
	}
	apply(t, h, flow.ApplyRequest{})
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	h = serving(t, path)
	defer h.Close()
	for _, id := range ids[1:] { // the first one was live, and ended with the host
		if err := h.Follow(t.Context(), flow.EventQuery{Run: id}, func(flow.Event) bool { return true }); err != nil {
			t.Fatal(err)
		}
		run, err := h.Run(t.Context(), string(id))
		if err != nil || run.Outcome != flow.Succeeded || wordOf(t, run.Steps[0].Outputs) != "one" {
			t.Errorf("a run that waited: %+v, %v", run, err)
		}
		lines, err := h.Logs(t.Context(), flow.LogQuery{Run: id})
		if err != nil || len(lines) != 1 || !strings.HasPrefix(lines[0].Message, "echoing") {
			t.Errorf("it has executed other bytes: %+v, %v", lines, err)
		}
	}
	if got := says(t, h); got != "two" {
		t.Errorf("a new run says %q", got)
	}
}

// operator is a manifest with the tenants acme and beta, of which acme's plugins may have the clock or not.
func operator(clock bool) string {
	var text strings.Builder
	text.WriteString("version = 1\n")
	for _, name := range []string{"acme", "beta"} {
		fmt.Fprintf(&text, "[tenants.%s]\nmanifest = \"%[1]s/uniflow.toml\"\nisolation = \"inline\"\n[tenants.%[1]s.ceiling]\nclock = %[2]t\n", name, clock || name == "beta")
	}
	return text.String()
}

// ofTenant is the manifest of a tenant whose plugin has the clock.
func ofTenant(word string) string {
	return fmt.Sprintf("version = 1\n[plugins.echo]\nwasm = \"echo.wasm\"\n[plugins.echo.grant]\nclock = true\n[pipelines.hello]\nschedule = \"every 1s\"\n[pipelines.hello.steps.main]\nplugin = \"echo\"\nwith = { word = %q }\n", word)
}

// clockTenants writes a project with the tenants acme and beta, whose plugin has the clock, and returns the path of the
// operator's manifest and a way to write files beside it.
func clockTenants(t *testing.T) (path string, put func(file, text string)) {
	t.Helper()
	dir := t.TempDir()
	put = func(file, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, filepath.FromSlash(file)), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"acme", "beta"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		manifest(t, filepath.Join(dir, name), ofTenant("one"))
		lock, err := os.ReadFile(filepath.Join(dir, name, "uniflow.lock"))
		if err != nil {
			t.Fatal(err)
		}
		put(name+"/uniflow.lock", strings.Replace(string(lock), `"grants":{}`, `"grants":{"plugins.echo":["clock"]}`, 1))
	}
	put("uniflow.toml", operator(true))
	return filepath.Join(dir, "uniflow.toml"), put
}

// A tenant that is refused keeps what runs, across a restart too; what is beyond a lowered ceiling is stopped, and its
// slots are skipped. No tenant is held up by another.
func TestARefusedTenantKeepsWhatRuns(t *testing.T) {
	t.Parallel()
	path, put := clockTenants(t)
	h := serving(t, path)
	word := func(tenant string) string {
		result, err := h.RunNow(t.Context(), tenant+"/hello", nil)
		if err != nil {
			return err.Error()
		}
		return wordOf(t, result.Outputs["main"])
	}
	put("acme/uniflow.toml", ofTenant("two")+"bad = 1\n")
	put("beta/uniflow.toml", ofTenant("two"))
	report := apply(t, h, flow.ApplyRequest{})
	if len(report.Refused) != 1 || report.Refused["acme"] == nil || word("acme") != "one" || word("beta") != "two" {
		t.Fatalf("acme says %q, beta %q: %+v", word("acme"), word("beta"), report)
	}
	put("beta/uniflow.toml", ofTenant("three"))
	put("acme/uniflow.toml", ofTenant("three"))
	if report := apply(t, h, flow.ApplyRequest{Tenant: "acme"}); len(report.Changes) != 1 || word("acme") != "three" || word("beta") != "two" {
		t.Errorf("acme alone: %+v, beta says %q", report, word("beta"))
	}
	put("acme/uniflow.toml", "no manifest")
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	h = serving(t, path)
	if word("acme") != "three" || word("beta") != "three" {
		t.Errorf("after a restart acme says %q, beta %q", word("acme"), word("beta"))
	}
	put("acme/uniflow.toml", ofTenant("four"))
	put("uniflow.toml", operator(false))
	if _, err := h.Apply(t.Context(), flow.ApplyRequest{Tenant: "acme"}); flow.CodeOf(err) != flow.CodeReviewed {
		t.Errorf("a tenant beside an operator's manifest that has changed: %v", err)
	}
	report = apply(t, h, flow.ApplyRequest{})
	if len(report.Refused["acme"]) < 2 || report.Deployment.Plans["acme/hello"] != "" || !strings.Contains(word("acme"), "no pipeline") || word("beta") != "three" {
		t.Errorf("below a lowered ceiling: %+v", report)
	}
	awaitInvalid(t, h)
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	h = serving(t, path)
	defer h.Close()
	if !strings.Contains(word("acme"), "no pipeline") {
		t.Errorf("after a restart below the ceiling acme says %q", word("acme"))
	}
	put("uniflow.toml", operator(true))
	if report := apply(t, h, flow.ApplyRequest{}); len(report.Refused) != 0 || word("acme") != "four" {
		t.Errorf("the ceiling is raised again: %+v, acme says %q", report, word("acme"))
	}
}

// awaitInvalid waits until a slot of acme is skipped because there is no run to make.
func awaitInvalid(t *testing.T, h *host.Host) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := h.Follow(ctx, flow.EventQuery{Tenant: "acme", Kind: flow.SlotEnded}, func(e flow.Event) bool {
		return e.Reason != flow.ReasonInvalid
	}); err != nil {
		t.Errorf("no slot was skipped: %v", err)
	}
}

// A schedule that was added gives way to one of the manifest with its name: the apply tells so.
func TestAScheduleOfTheManifestTakesAName(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := manifest(t, dir, hello("one"))
	h := serving(t, path)
	defer h.Close()
	if _, err := h.AddSchedule(t.Context(), flow.Schedule{Name: "taken", Pipeline: "hello", At: "every 2h"}); err != nil {
		t.Fatal(err)
	}
	manifest(t, dir, hello("one")+"[schedules.taken]\npipeline = \"hello\"\nat = \"every 3h\"\n")
	tells := func(r flow.ApplyReport) bool {
		return len(r.Problems) == 1 && strings.Contains(r.Problems[0].Message, `schedule "taken" of pipeline "hello", every 2h, was added`)
	}
	if report := apply(t, h, flow.ApplyRequest{DryRun: true}); !tells(report) {
		t.Errorf("a dry run: %+v", report.Problems)
	}
	if report := apply(t, h, flow.ApplyRequest{}); !tells(report) {
		t.Errorf("an apply: %+v", report.Problems)
	}
	if report := apply(t, h, flow.ApplyRequest{}); len(report.Problems) != 0 {
		t.Errorf("told again: %+v", report.Problems)
	}
}
