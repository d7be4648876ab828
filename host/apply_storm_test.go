package host_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host"
	"github.com/uniflow-dev/uniflow/host/flow"
)

// appliesEnv asks for more applies than a quick test does.
const appliesEnv = "UNIFLOW_APPLIES"

// edited is a pipeline of a manifest that a test edits. Each edit of what it executes gets the next number, which its runs
// put out.
type edited struct {
	edit, every int
	word        string // which of two modules
	second      bool   // a second step
	gone        bool
	note        int // in the schedule's context: no new version
}

// storm is a manifest under edits.
type storm struct {
	t     *testing.T
	dir   string
	bytes map[string][]byte // of the modules, by their words
	pipes [4]edited
	n     int

	quieter sync.Mutex
	mu      sync.Mutex
	// versions are what was applied: which edit and word a digest stands for; least are the edits that have been applied.
	versions map[flow.Digest]edited
	least    [4]int
}

func newStorm(t *testing.T) *storm {
	t.Helper()
	module, err := os.ReadFile(filepath.Join("..", "plugins", "echo", "echo.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	s := &storm{t: t, dir: t.TempDir(), versions: map[flow.Digest]edited{}, bytes: map[string][]byte{}}
	for _, word := range []string{"inputs", "INPUTS"} {
		s.bytes[word] = bytes.ReplaceAll(module, []byte("echoing the inputs"), []byte("echoing the "+word))
	}
	if bytes.Equal(s.bytes["inputs"], s.bytes["INPUTS"]) {
		t.Fatal("the module does not have the word that is to be replaced")
	}
	for i := range s.pipes {
		s.pipes[i] = edited{every: 1, word: "inputs"}
	}
	s.write()
	return s
}

func (s *storm) path() string { return filepath.Join(s.dir, "uniflow.toml") }

// write writes what is to be applied. The file is replaced as a person's editor would: while it is half written, a reload
// of it would be refused.
func (s *storm) write() {
	s.t.Helper()
	var text strings.Builder
	text.WriteString("version = 1\n")
	lock := map[string]flow.Digest{}
	for i := range s.pipes {
		p := &s.pipes[i]
		if p.gone {
			continue
		}
		file := fmt.Sprintf("m%d.wasm", i)
		fmt.Fprintf(&text, "[pipelines.p%d]\nkeep = { runs = 100000 }\ncontext = { note = 0 }\n[pipelines.p%[1]d.steps.one]\nwasm = %[2]q\nwith = { edit = %[3]d }\n", i, file, p.edit)
		if p.second {
			fmt.Fprintf(&text, "[pipelines.p%d.steps.two]\nwasm = %q\nwith = { edit = \"${steps.one.with.edit}\" }\n", i, file)
		}
		fmt.Fprintf(&text, "[schedules.s%d]\npipeline = \"p%[1]d\"\nat = \"every %[2]ds\"\ncontext = { note = %[3]d }\n", i, p.every, p.note)
		lock[file] = flow.DigestOf(s.bytes[p.word])
		s.put(file, s.bytes[p.word])
	}
	s.put("uniflow.lock", []byte(lockOfFiles(lock)))
	s.put("uniflow.toml", []byte(text.String()))
}

func (s *storm) put(name string, content []byte) {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path+".new", content, 0o600); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		s.t.Fatal(err)
	}
}

// change edits one pipeline at random; the first one keeps its schedule, the last comes and goes.
func (s *storm) change(r *rand.Rand) {
	s.n++
	i := r.IntN(len(s.pipes))
	p := &s.pipes[i]
	fresh := func() { p.edit = s.n }
	switch kind := r.IntN(6); {
	case kind == 0 && i == 3:
		p.gone = !p.gone
	case kind == 1 && i > 0:
		p.every = 3 - p.every
	case kind == 2:
		p.note++
	case kind == 3:
		p.word = map[string]string{"inputs": "INPUTS", "INPUTS": "inputs"}[p.word]
		fresh()
	case kind == 4:
		p.second = !p.second
		fresh()
	default:
		fresh()
	}
	s.write()
}

// applied notes what the host says that runs now.
func (s *storm) applied(h *host.Host) {
	s.t.Helper()
	for i := range s.pipes {
		info, err := h.Pipeline(s.t.Context(), fmt.Sprintf("p%d", i))
		if s.pipes[i].gone != (err != nil) {
			s.t.Fatalf("pipeline p%d: %v", i, err)
		}
		s.mu.Lock()
		if known, ok := s.versions[info.Version]; err == nil && ok && (known.edit != s.pipes[i].edit || known.word != s.pipes[i].word) {
			s.t.Errorf("p%d has the version of edit %d, want that of %d", i, known.edit, s.pipes[i].edit)
		} else if err == nil {
			s.versions[info.Version] = s.pipes[i]
		}
		s.least[i] = s.pipes[i].edit
		s.mu.Unlock()
	}
}

// ask asks for runs until done is closed, and notes the least edit that each must have.
func (s *storm) ask(h *host.Host, done <-chan struct{}, asked map[flow.RunID]int) {
	for n := 0; ; n++ {
		select {
		case <-done:
			return
		case <-time.After(20 * time.Millisecond):
		}
		s.quieter.Lock()
		s.quieter.Unlock() //nolint:staticcheck,gocritic // nobody asks while it is quiet
		i := n % len(s.pipes)
		s.mu.Lock()
		least := s.least[i]
		s.mu.Unlock()
		run, err := h.StartRun(s.t.Context(), flow.RunRequest{Pipeline: fmt.Sprintf("p%d", i)})
		switch {
		case err == nil:
			asked[run.ID] = least
		case i != 3 && flow.CodeOf(err) != flow.CodeRefused:
			s.t.Errorf("a run of p%d: %v", i, err)
		}
	}
}

func TestAppliesUnderLoad(t *testing.T) {
	applies, warm := 40, 10
	if n, err := strconv.Atoi(os.Getenv(appliesEnv)); err == nil {
		applies, warm = n, n/10
	} else {
		t.Parallel()
	}
	s := newStorm(t)
	h := begin(t, host.Config{Manifest: s.path()})
	if err := h.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.applied(h)
	done, asked := make(chan struct{}), map[flow.RunID]int{}
	var asking sync.WaitGroup
	asking.Go(func() { s.ask(h, done, asked) })
	seed := uint64(time.Now().UnixNano())
	r := rand.New(rand.NewPCG(seed, 1))
	var rss int64
	var threads int
	var longest time.Duration
	began := time.Now()
	for n := range applies {
		if n == warm {
			rss, threads = s.quiet(), runtime.NumGoroutine()
		}
		s.change(r)
		at := time.Now()
		if _, err := h.Apply(t.Context(), flow.ApplyRequest{}); err != nil {
			t.Fatalf("apply %d, seed %d: %v", n, seed, err)
		}
		longest = max(longest, time.Since(at))
		s.applied(h)
		time.Sleep(50 * time.Millisecond)
	}
	took := time.Since(began)
	grown, more := s.quiet()-rss, runtime.NumGoroutine()-threads
	close(done)
	asking.Wait()
	drained(t, h)
	runs := s.checkRuns(h, asked)
	slots := checkSlots(t, h)
	t.Logf("%d applies in %s, the longest %s; %d runs, %d slots; RSS grew by %d KiB, goroutines by %d", applies, took, longest, runs, slots, grown>>10, more)
	if os.Getenv(appliesEnv) != "" && (grown > 10<<20 || more > 20) {
		t.Errorf("RSS grew by %d KiB, goroutines by %d", grown>>10, more)
	}
}

// drained disables all schedules and waits until no run is open.
func drained(t *testing.T, h *host.Host) {
	t.Helper()
	infos, err := h.Schedules(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range infos {
		if err := h.Disable(t.Context(), i.Name); err != nil {
			t.Fatal(err)
		}
	}
	for deadline := time.Now().Add(5 * time.Minute); ; {
		waiting, err := h.Runs(t.Context(), flow.RunQuery{State: flow.StateQueued, Limit: 1})
		live, err2 := h.Runs(t.Context(), flow.RunQuery{State: flow.StateRunning, Limit: 1})
		if err != nil || err2 != nil || time.Now().After(deadline) {
			t.Fatal("runs do not end: ", err, err2)
		}
		if len(waiting)+len(live) == 0 {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// checkRuns holds what each run put out and logged against its recorded version, and that against what was applied when
// it was asked for.
func (s *storm) checkRuns(h *host.Host, asked map[flow.RunID]int) int {
	s.t.Helper()
	count := 0
	query := flow.RunQuery{Limit: 1000}
	for {
		page, err := h.Runs(s.t.Context(), query)
		if err != nil {
			s.t.Fatal(err)
		}
		for i := range page {
			s.checkRun(h, page[i].ID, asked)
		}
		if count += len(page); len(page) < query.Limit {
			return count
		}
		query.Before = page[len(page)-1].ID
	}
}

func (s *storm) checkRun(h *host.Host, id flow.RunID, asked map[flow.RunID]int) {
	s.t.Helper()
	run, err := h.Run(s.t.Context(), string(id))
	if err != nil {
		s.t.Fatal(err)
	}
	want, known := s.versions[run.Version]
	if !known || run.Outcome != flow.Succeeded || (len(run.Steps) == 2) != want.second {
		s.t.Errorf("run %s of %s: version %s (known: %v), %s %s, %d steps", id, run.Pipeline, run.Version.Short(), known, run.Outcome, run.Message, len(run.Steps))
		return
	}
	for i := range run.Steps {
		var got struct{ Edit float64 }
		if err := json.Unmarshal(run.Steps[i].Outputs["with"], &got); err != nil || int(got.Edit) != want.edit {
			s.t.Errorf("run %s has executed edit %v, its version is edit %d", id, got.Edit, want.edit)
		}
	}
	if least, ok := asked[id]; ok && want.edit < least {
		s.t.Errorf("run %s was asked for after edit %d was applied, and has executed edit %d", id, least, want.edit)
	}
	lines, err := h.Logs(s.t.Context(), flow.LogQuery{Run: id})
	if err != nil || len(lines) == 0 || !strings.Contains(lines[0].Message, want.word) {
		s.t.Errorf("run %s has not executed the bytes of its version (%s): %v, %v", id, want.word, lines, err)
	}
}

// form is a schedule from one edit of its times to the next.
type form struct {
	every      int64
	from, till time.Time
	// loose is set where the end is known to a moment only: the schedule was removed.
	loose bool
}

// checkSlots holds the slots of every form that a schedule has had against their records: exactly one each. It returns
// their number.
func checkSlots(t *testing.T, h *host.Host) int {
	t.Helper()
	total := 0
	for i := range 4 {
		name := fmt.Sprintf("s%d", i)
		recorded := map[int64]int64{} // seconds
		found, err := h.Slots(t.Context(), flow.SlotQuery{Schedule: name, Limit: 1000})
		if err != nil || len(found) == 1000 {
			t.Fatal(len(found), err)
		}
		forms := formsOf(t, h, name)
		for _, f := range forms {
			for at := (f.from.Unix()/f.every + 1) * f.every; at*1e9 <= f.till.UnixNano(); at += f.every {
				recorded[at] = 0
				if f.loose && f.till.Sub(time.Unix(at, 0)) < time.Second {
					recorded[at] = -1 // it may have come due in the moment of its end
				}
			}
		}
		for _, r := range found {
			n := int64(0)
			for at := r.From.Unix(); at <= r.To.Unix(); at++ {
				if c, due := recorded[at]; due && n < r.Count {
					recorded[at] = max(c, 0) + 1
					n++
				}
			}
			if n != r.Count {
				t.Errorf("%s: a record of %d slots from %s to %s, and %d were due", name, r.Count, r.From, r.To, n)
			}
		}
		for at, n := range recorded {
			if n == 0 || n > 1 {
				t.Errorf("%s: the slot of %s has %d records", name, time.Unix(at, 0).UTC(), n)
			}
			total++
		}
	}
	return total
}

// formsOf reads the forms of a schedule from the events.
func formsOf(t *testing.T, h *host.Host, name string) []form {
	t.Helper()
	events, err := h.Events(t.Context(), flow.EventQuery{Schedule: name, Limit: 10_000})
	if err != nil {
		t.Fatal(err)
	}
	var forms []form
	end := func(at time.Time, loose bool) {
		if n := len(forms); n > 0 && forms[n-1].till.IsZero() {
			forms[n-1].till, forms[n-1].loose = at, loose
		}
	}
	for i := range events {
		switch e := &events[i]; e.Kind {
		case flow.ScheduleGone:
			end(e.At, true)
		case flow.ScheduleSet:
			var r flow.ScheduleRecord
			if err := json.Unmarshal(e.Detail, &r); err != nil {
				t.Fatal(err)
			}
			every, err := time.ParseDuration(strings.TrimPrefix(r.At, "every "))
			if err != nil {
				t.Fatal(err)
			}
			if !r.Active() {
				end(r.PausedAt, false)
				continue
			}
			if n := len(forms); n == 0 || !forms[n-1].from.Equal(r.Since) {
				end(r.Since, false)
				forms = append(forms, form{every: int64(every / time.Second), from: r.Since})
			}
		}
	}
	return forms
}

// quiet is the memory of the process while nobody asks for runs, once the ledger and the collector have given back what
// they keep for a while.
func (s *storm) quiet() int64 {
	s.t.Helper()
	s.quieter.Lock()
	defer s.quieter.Unlock()
	if os.Getenv(appliesEnv) != "" {
		time.Sleep(time.Second)
	}
	debug.FreeOSMemory()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0 // on other systems
	}
	var size, pages int64
	if _, err := fmt.Sscan(string(text), &size, &pages); err != nil {
		s.t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}
