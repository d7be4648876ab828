package host_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host"
	"github.com/uniflow-dev/uniflow/host/flow"
)

// worker is a function for steps: it counts its calls, fails where it is told to, and says who called.
type worker struct {
	mu     sync.Mutex
	broken map[string]bool
	calls  []string
}

func (w *worker) do(_ context.Context, c *host.Call) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls = append(w.calls, c.Step)
	if w.broken[c.Step] {
		return host.Permanent(errors.New("broken"))
	}
	year := c.Context["year"]
	return errors.Join(c.Output("run", string(c.RunID)), c.Output("year", year), c.Output("list", []int{1, 2}))
}

// called returns the calls since it was last asked, sorted.
func (w *worker) called() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	slices.Sort(w.calls)
	text := strings.Join(w.calls, " ")
	w.calls = nil
	return text
}

// steps is a graph with two branches, an element-wise step, a condition and two hooks:
// load -> clean -> sum; load -> each; other; never -> after; tidy (always), alarm (failure).
func steps() map[string]flow.Step {
	return map[string]flow.Step{
		"load":  {Plugin: "w"},
		"clean": {Plugin: "w", With: map[string]json.RawMessage{"of": json.RawMessage(`"${steps.load.run}"`)}},
		"sum":   {Plugin: "w", Needs: []string{"clean"}},
		"each":  {Plugin: "w", Each: "${steps.load.list}"},
		"other": {Plugin: "w"},
		"never": {Plugin: "w", When: "false"},
		"after": {Plugin: "w", Needs: []string{"never"}},
		"tidy":  {Plugin: "w", On: flow.OnAlways},
		"alarm": {Plugin: "w", On: flow.OnFailure},
	}
}

// rerun asks for a rerun, waits for its end and returns it.
func rerun(t *testing.T, h *host.Host, r flow.RerunRequest) flow.RunRecord {
	t.Helper()
	started, err := h.Rerun(t.Context(), r)
	if err != nil {
		t.Fatalf("%+v: %v", r, err)
	}
	if err := h.Follow(t.Context(), flow.EventQuery{Run: started.ID}, func(flow.Event) bool { return true }); err != nil {
		t.Fatal(err)
	}
	record, err := h.Run(t.Context(), string(started.ID))
	if err != nil {
		t.Fatal(err)
	}
	return record
}

// shown says for each step of a run, in the order of names, how it ended and whether it was reused.
func shown(r *flow.RunRecord) string {
	var all []string
	for i := range r.Steps {
		s := &r.Steps[i]
		text := fmt.Sprintf("%s:%.4s", s.Name, s.Outcome)
		if s.Reused != "" {
			text += "*"
		}
		all = append(all, text)
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

func TestRerunExecutesWhatIsAskedForAndReusesTheRest(t *testing.T) {
	t.Parallel()
	w := &worker{broken: map[string]bool{"clean": true}}
	h := begin(t, host.Config{Data: t.TempDir()})
	if err := errors.Join(h.Register("w", w.do), h.Define(t.Context(), flow.Pipeline{Name: "p", Steps: steps()})); err != nil {
		t.Fatal(err)
	}
	result, err := h.RunNow(t.Context(), "p", map[string]any{"year": 2013})
	if err != nil || result.Success {
		t.Fatalf("the first run: %+v, %v", result, err)
	}
	failed := result.Run
	if got := w.called(); got != "alarm clean each each load other tidy" {
		t.Fatalf("the first run called %s", got)
	}
	w.broken = nil
	mended := rerun(t, h, flow.RerunRequest{Run: string(failed), Failed: true})
	for _, c := range []struct {
		r      flow.RerunRequest
		calls  string
		record string
	}{
		{flow.RerunRequest{}, "clean each each load other sum tidy", "after:skip alarm:skip clean:succ each:succ load:succ never:skip other:succ sum:succ tidy:succ"},
		{flow.RerunRequest{Failed: true, Run: string(failed)}, "clean sum tidy", "after:skip* alarm:skip clean:succ each:succ* load:succ* never:skip* other:succ* sum:succ tidy:succ"},
		{flow.RerunRequest{FromStep: "clean"}, "clean sum tidy", "after:skip* alarm:skip clean:succ each:succ* load:succ* never:skip* other:succ* sum:succ tidy:succ"},
		{flow.RerunRequest{FromStep: "load"}, "clean each each load sum tidy", "after:skip* alarm:skip clean:succ each:succ load:succ never:skip* other:succ* sum:succ tidy:succ"},
		{flow.RerunRequest{FromStep: "never"}, "tidy", "after:skip alarm:skip clean:succ* each:succ* load:succ* never:skip other:succ* sum:succ* tidy:succ"},
		{flow.RerunRequest{FromStep: "tidy"}, "tidy", "after:skip* alarm:skip* clean:succ* each:succ* load:succ* never:skip* other:succ* sum:succ* tidy:succ"},
		{flow.RerunRequest{OnlyStep: "load"}, "load", "after:skip alarm:skip clean:succ* each:succ* load:succ never:skip other:succ* sum:succ* tidy:succ*"},
		{flow.RerunRequest{OnlyStep: "clean", Run: string(failed)}, "clean", "after:skip alarm:succ* clean:succ each:succ* load:succ* never:skip other:succ* sum:skip tidy:succ*"},
	} {
		w.called()
		if c.r.Run == "" {
			c.r.Run = string(mended.ID)
		}
		got := rerun(t, h, c.r)
		if calls := w.called(); calls != c.calls {
			t.Errorf("%+v: called %s, want %s", c.r, calls, c.calls)
		}
		if text := shown(&got); text != c.record {
			t.Errorf("%+v:\n got %s\nwant %s", c.r, text, c.record)
		}
		if got.Outcome != flow.Succeeded || got.Trigger.Kind != flow.TriggerRerun || string(got.Trigger.Of) != c.r.Run || string(got.Context["year"]) != "2013" {
			t.Errorf("%+v: %+v", c.r, got)
		}
	}
	if old, err := h.Run(t.Context(), string(failed)); err != nil || old.Outcome != flow.Failed || shown(&old) != "after:skip alarm:succ clean:fail each:succ load:succ never:skip other:succ sum:skip tidy:succ" {
		t.Errorf("the old run is %s, %v", shown(&old), err)
	}
}

// A reused step is named by the run that executed it, through reruns of reruns; its outputs reach the steps that come
// after it, and --set those that are executed.
func TestRerunCarriesOutputsAndContext(t *testing.T) {
	t.Parallel()
	w := &worker{}
	h := begin(t, host.Config{Data: t.TempDir()})
	if err := errors.Join(h.Register("w", w.do), h.Define(t.Context(), flow.Pipeline{Name: "p", Steps: steps(), Params: map[string]flow.Param{"year": {Type: "integer"}}})); err != nil {
		t.Fatal(err)
	}
	first, err := h.RunNow(t.Context(), "p", map[string]any{"year": 2013})
	if err != nil {
		t.Fatal(err)
	}
	year := map[string]json.RawMessage{"year": json.RawMessage("2014")}
	second := rerun(t, h, flow.RerunRequest{Run: string(first.Run), FromStep: "clean", Context: year})
	third := rerun(t, h, flow.RerunRequest{Run: "@last", FromStep: "sum"})
	by := func(r *flow.RunRecord, name string) *flow.StepRecord {
		return &r.Steps[slices.IndexFunc(r.Steps, func(s flow.StepRecord) bool { return s.Name == name })]
	}
	if got := by(&third, "load"); got.Reused != first.Run || string(got.Outputs["year"]) != "2013" {
		t.Errorf("load: %+v", got)
	}
	if got := by(&third, "clean"); got.Reused != second.ID || string(got.Outputs["year"]) != "2014" {
		t.Errorf("clean: %+v", got)
	}
	if got := by(&third, "sum"); got.Reused != "" || string(got.Outputs["year"]) != "2014" || string(got.Outputs["run"]) != fmt.Sprintf("%q", third.ID) {
		t.Errorf("sum: %+v", got)
	}
	if got := by(&third, "each"); len(got.List) != 2 || got.Reused != first.Run {
		t.Errorf("each: %+v", got)
	}
	result, err := h.Result(t.Context(), third.ID)
	if err != nil || string(result.Outputs["other"]["year"]) != "2013" || len(result.Outputs) != 3 {
		t.Errorf("outputs %v, %v", result.Outputs, err)
	}
	_, err = h.Rerun(t.Context(), flow.RerunRequest{Run: string(first.Run), Context: map[string]json.RawMessage{"year": json.RawMessage(`"x"`)}})
	if flow.CodeOf(err) != flow.CodeContext {
		t.Errorf("a context that does not fit: %v", err)
	}
}

// What cannot be reused is refused by name, and no run comes of it.
func TestRerunRefusesByName(t *testing.T) {
	t.Parallel()
	w := &worker{broken: map[string]bool{"clean": true, "other": true}}
	h := begin(t, host.Config{Data: t.TempDir()})
	if err := errors.Join(h.Register("w", w.do), h.Define(t.Context(), flow.Pipeline{Name: "p", Steps: steps()})); err != nil {
		t.Fatal(err)
	}
	result, err := h.RunNow(t.Context(), "p", nil)
	if err != nil {
		t.Fatal(err)
	}
	failed := string(result.Run)
	w.broken = nil
	good := rerun(t, h, flow.RerunRequest{Run: failed})
	refused := func(r flow.RerunRequest, code flow.Code, words ...string) {
		t.Helper()
		_, err := h.Rerun(t.Context(), r)
		e, ok := errors.AsType[*flow.Error](err)
		if !ok || e.Code != code || e.Hint == "" {
			t.Errorf("%+v: got %v, want code %s and a hint", r, err, code)
			return
		}
		for _, word := range words {
			if !strings.Contains(e.Error()+e.Hint, word) {
				t.Errorf("%+v: %q, %q lacks %q", r, e.Error(), e.Hint, word)
			}
		}
	}
	refused(flow.RerunRequest{Run: "none"}, flow.CodeNotFound, "none")
	refused(flow.RerunRequest{Run: failed, FromStep: "sumn"}, flow.CodeNotFound, `"sumn"`, "sum")
	refused(flow.RerunRequest{Run: failed, FromStep: "sum", Failed: true}, flow.CodeRequest)
	refused(flow.RerunRequest{Run: failed, FromStep: "sum", OnlyStep: "sum"}, flow.CodeRequest)
	refused(flow.RerunRequest{Run: failed, FromStep: "sum"}, flow.CodeRerun, `"sum" needs`, `"clean"`, "failed (permanent)", "--from-step clean")
	refused(flow.RerunRequest{Run: failed, OnlyStep: "sum"}, flow.CodeRerun, `"clean"`)
	refused(flow.RerunRequest{Run: failed, FromStep: "clean"}, flow.CodeRerun, `"other" is not executed again`, "--failed")
	refused(flow.RerunRequest{Run: failed, FromStep: "after"}, flow.CodeRerun, `"never"`, "skipped (condition)")
	refused(flow.RerunRequest{Run: failed, OnlyStep: "alarm"}, flow.CodeRerun, "after a failure only")
	refused(flow.RerunRequest{Run: string(good.ID), Failed: true}, flow.CodeRerun, "none of its steps failed")

	changed := steps()
	changed["more"] = flow.Step{Plugin: "w"}
	delete(changed, "other")
	delete(changed, "each")
	if err := h.Define(t.Context(), flow.Pipeline{Name: "p", Steps: changed}); err != nil {
		t.Fatal(err)
	}
	refused(flow.RerunRequest{Run: string(good.ID), FromStep: "clean"}, flow.CodeRerun, `"more"`, "never came to it")
	refused(flow.RerunRequest{Run: string(good.ID), FromStep: "each"}, flow.CodeNotFound, `"each"`, "more")
	with := rerun(t, h, flow.RerunRequest{Run: string(good.ID), Failed: true})
	if with.Version == good.Version || shown(&with) != "after:skip* alarm:skip clean:succ* load:succ* more:succ never:skip* sum:succ* tidy:succ" {
		t.Errorf("with a new step: %s", shown(&with))
	}
	changed["load"] = flow.Step{Plugin: "w", Each: "${[1, 2]}"}
	delete(changed, "clean")
	changed["sum"] = flow.Step{Plugin: "w", Needs: []string{"load"}}
	if err := h.Define(t.Context(), flow.Pipeline{Name: "p", Steps: changed}); err != nil {
		t.Fatal(err)
	}
	refused(flow.RerunRequest{Run: string(with.ID), FromStep: "sum"}, flow.CodeRerun, `"load"`, "each")
	if runs, err := h.Runs(t.Context(), flow.RunQuery{}); err != nil || len(runs) != 3 {
		t.Errorf("%d runs are recorded, %v", len(runs), err)
	}
}

// The steps that failed may be gone, and so may the pipeline; a run that is under way has no outputs to rely on.
func TestRerunOfWhatIsNotThere(t *testing.T) {
	t.Parallel()
	h := begin(t, host.Config{Data: t.TempDir()})
	entered := make(chan struct{})
	define(t, h, flow.Pipeline{Name: "p"}, func(ctx context.Context, _ *host.Call) error {
		close(entered)
		<-ctx.Done()
		return ctx.Err()
	})
	live, err := h.StartRun(t.Context(), flow.RunRequest{Pipeline: "p"})
	if err != nil {
		t.Fatal(err)
	}
	<-entered
	if _, err := h.Rerun(t.Context(), flow.RerunRequest{Run: string(live.ID)}); flow.CodeOf(err) != flow.CodeRerun || !strings.Contains(err.Error(), "has not ended") {
		t.Errorf("a live run: %v", err)
	}
	if _, err := h.Cancel(t.Context(), live.ID); err != nil {
		t.Fatal(err)
	}
	if err := h.Follow(t.Context(), flow.EventQuery{Run: live.ID}, func(flow.Event) bool { return true }); err != nil {
		t.Fatal(err)
	}
	w := &worker{}
	if err := errors.Join(h.Register("w", w.do), h.Define(t.Context(), flow.Pipeline{Name: "p", Steps: map[string]flow.Step{"do": {Plugin: "w"}}})); err != nil {
		t.Fatal(err)
	}
	if got := rerun(t, h, flow.RerunRequest{Run: string(live.ID), Failed: true}); got.Outcome != flow.Succeeded || w.called() != "do" {
		t.Errorf("a run that was cancelled: %+v", got)
	}
	w.broken = map[string]bool{"do": true}
	failed := rerun(t, h, flow.RerunRequest{Run: string(live.ID)})
	if err := h.Define(t.Context(), flow.Pipeline{Name: "p", Steps: map[string]flow.Step{"do": {Plugin: "w", Each: "${[]}"}, "new": {Plugin: "w"}}}); err != nil {
		t.Fatal(err)
	}
	if got := rerun(t, h, flow.RerunRequest{Run: string(failed.ID), Failed: true}); shown(&got) != "do:succ new:succ" {
		t.Errorf("a run with a new step: %s", shown(&got))
	}
}

// Artifacts among the reused outputs belong to the new run: its steps read them, they outlive the old run's record, and
// an artifact that is gone is refused by name.
func TestRerunKeepsArtifacts(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	h := begin(t, host.Config{Data: data})
	put := func(ctx context.Context, c *host.Call) error {
		ref, err := c.Artifact(ctx, "text", "text/plain", strings.NewReader("kept"))
		return errors.Join(err, c.Output("file", ref))
	}
	get := func(ctx context.Context, c *host.Call) error {
		var ref flow.ArtifactRef
		if err := json.Unmarshal(c.With["file"], &ref); err != nil {
			return err
		}
		content, err := c.Open(ctx, ref)
		if err != nil {
			return err
		}
		text, err := io.ReadAll(content)
		return errors.Join(err, content.Close(), c.Output("text", string(text)), c.Output("file", ref))
	}
	p := flow.Pipeline{Name: "p", Steps: map[string]flow.Step{
		"put": {Plugin: "put"}, "get": {Plugin: "get", With: map[string]json.RawMessage{"file": json.RawMessage(`"${steps.put.file}"`)}},
	}}
	if err := errors.Join(h.Register("put", put), h.Register("get", get), h.Define(t.Context(), p)); err != nil {
		t.Fatal(err)
	}
	first, err := h.RunNow(t.Context(), "p", nil)
	if err != nil || !first.Success {
		t.Fatalf("%+v, %v", first, err)
	}
	got := rerun(t, h, flow.RerunRequest{Run: string(first.Run), FromStep: "get"})
	if got.Outcome != flow.Succeeded || string(got.Steps[1].Outputs["text"]) != `"kept"` {
		t.Fatalf("%+v", got)
	}
	digest := flow.DigestOf([]byte("kept"))
	content, err := h.Artifact(t.Context(), got.ID, digest)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(content); err != nil || string(text) != "kept" {
		t.Errorf("the new run's artifact is %q, %v", text, err)
	}
	_ = content.Close()
	if err := os.Remove(filepath.Join(data, "artifacts", flow.DefaultTenant, "sha256", digest.Hex()[:2], digest.Hex())); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Rerun(t.Context(), flow.RerunRequest{Run: string(first.Run), FromStep: "get"}); flow.CodeOf(err) != flow.CodeRerun || !strings.Contains(err.Error(), `output "file" of step "put"`) {
		t.Errorf("an artifact that is gone: %v", err)
	}
	if got := rerun(t, h, flow.RerunRequest{Run: string(first.Run)}); got.Outcome != flow.Succeeded {
		t.Errorf("%+v", got)
	}
}

// A rerun of a slot's run has the slot, but is none: the slot's record stays, and nothing is coalesced into it.
func TestRerunHasTheSlotOfItsRun(t *testing.T) {
	t.Parallel()
	h := begin(t, host.Config{Data: t.TempDir()})
	define(t, h, flow.Pipeline{Name: "p"}, func(context.Context, *host.Call) error { return nil })
	if err := errors.Join(h.ScheduleInterval(t.Context(), "often", "p", time.Second, nil), h.Start(t.Context())); err != nil {
		t.Fatal(err)
	}
	slots := awaitSlots(t, h, "often", func(s []flow.SlotRecord) bool { return len(s) > 0 && s[0].Run != "" })
	if err := h.Disable(t.Context(), "often"); err != nil {
		t.Fatal(err)
	}
	old := slots[0].Run
	if err := h.Follow(t.Context(), flow.EventQuery{Run: old}, func(flow.Event) bool { return true }); err != nil {
		t.Fatal(err)
	}
	got := rerun(t, h, flow.RerunRequest{Run: string(old)})
	if got.Trigger.Schedule != "often" || !got.Trigger.ScheduledAt.Equal(slots[0].From) || got.Trigger.IntervalEnd == nil || got.ID == old {
		t.Errorf("trigger %+v", got.Trigger)
	}
	for _, s := range awaitSlots(t, h, "often", func([]flow.SlotRecord) bool { return true }) {
		if s.From.Equal(slots[0].From) && s.Run != old {
			t.Errorf("the slot is now %+v", s)
		}
	}
}
