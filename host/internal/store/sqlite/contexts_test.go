package sqlite

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// largeRun records a run with a context of a mebibyte, which ends with an output.
func largeRun(t *testing.T, s *Store) (flow.Run, string) {
	t.Helper()
	o := testOffer("p")
	o.Run.Context = map[string]json.RawMessage{"text": json.RawMessage(`"` + strings.Repeat("x", 1<<20) + `"`), "n": json.RawMessage("12345678901234567890.10")}
	offered, err := s.Offer(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	ended := flow.Event{Kind: flow.StepEnded, Step: "load", Ending: flow.Ending{Outcome: flow.Succeeded}, Outputs: map[string]json.RawMessage{"n": json.RawMessage("1")}}
	if err := s.Finish(t.Context(), offered.Claim, flow.Ending{Outcome: flow.Succeeded}, ended); err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(o.Run.Context)
	if err != nil {
		t.Fatal(err)
	}
	return o.Run, string(raw)
}

// A ledger that has contexts and outputs wherever a run is named is brought to the form in which lists have neither, and
// loses nothing.
func TestContextsAreTakenOutOfLists(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, err := Open(t.Context(), Config{Path: filepath.Join(dir, "uniflow.db"), Boot: "boot"})
	if err != nil {
		t.Fatal(err)
	}
	r, want := largeRun(t, first)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	execute(t, filepath.Join(dir, "uniflow.db"), `
		UPDATE runs SET body = json_set(body, '$.context', json((SELECT body FROM contexts WHERE run = seq)));
		UPDATE events SET body = json_set(body, '$.detail.context', json((SELECT body FROM contexts)), '$.list', json('[1,2]')) WHERE json_extract(body, '$.kind') = 'run.started';
		DROP TABLE contexts; DELETE FROM goose_db_version WHERE version_id >= 6`)
	s := open(t, dir, "again")
	whole, err := s.Run(t.Context(), r.ID)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := json.Marshal(whole.Context); err != nil || string(got) != want {
		t.Errorf("the context is %.100s, %v; want %.100s", got, err, want)
	}
	for table, most := range map[string]int{"runs": 1000, "events": 1000} {
		longest, err := collect(t.Context(), reader{s.readers}, func(row scanner) (n int, err error) { return n, row.Scan(&n) }, "SELECT max(octet_length(body)) FROM "+table)
		if err != nil || longest[0] > most {
			t.Errorf("a row of %s has %v bytes, %v", table, longest, err)
		}
	}
	if events, err := s.Events(t.Context(), flow.EventQuery{Run: r.ID}); err != nil || len(events) != 3 || !strings.Contains(string(events[0].Detail), string(r.ID)) {
		t.Errorf("events %.300v, %v", events, err)
	}
}

// What stands apart goes with its run.
func TestAContextIsDroppedWithItsRun(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), "boot")
	largeRun(t, s)
	count := func() int {
		found, err := collect(t.Context(), reader{s.readers}, func(row scanner) (n int, err error) { return n, row.Scan(&n) }, "SELECT count(*) FROM contexts")
		if err != nil {
			t.Fatal(err)
		}
		return found[0]
	}
	if got := count(); got != 1 {
		t.Fatalf("%d contexts", got)
	}
	if n, err := s.Prune(t.Context(), "default", "p", flow.Keep{Days: 1}, time.Now().AddDate(0, 0, 2)); err != nil || n != 1 {
		t.Fatalf("dropped %d, %v", n, err)
	}
	if got := count(); got != 0 {
		t.Errorf("%d contexts are left", got)
	}
}

// An answer ends by so many bytes, whatever was asked for, and the next one goes on.
func TestAPageOfEventsIsBounded(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), "boot")
	offered, err := s.Offer(t.Context(), testOffer("p"))
	if err != nil {
		t.Fatal(err)
	}
	const all = 700
	failed := make([]flow.Event, all)
	for i := range failed {
		failed[i] = flow.Event{Kind: flow.AttemptEnded, Step: "load", Attempt: i + 1, Ending: flow.Ending{Outcome: flow.Failed, Message: strings.Repeat("m", 16<<10)}}
	}
	if err := s.Finish(t.Context(), offered.Claim, flow.Ending{Outcome: flow.Failed}, failed...); err != nil {
		t.Fatal(err)
	}
	q := flow.EventQuery{Limit: 10_000}
	seen, pages := 0, 0
	for {
		page, err := s.Events(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		seen, pages, q.After = seen+len(page), pages+1, page[len(page)-1].Seq
	}
	if seen != all+2 || pages != 2 {
		t.Errorf("%d events in %d pages", seen, pages)
	}
}
