package host

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// More runs than are taken at once are refused, with an instant that parts those that are from the others.
func TestTooManyMatches(t *testing.T) {
	t.Parallel()
	at := func(seconds ...int) (found []flow.MatchedRun) {
		for _, s := range seconds {
			found = append(found, flow.MatchedRun{At: time.Date(2026, 3, 1, 2, 0, s, 5e8, time.UTC)})
		}
		return found
	}
	for _, c := range []struct {
		found []flow.MatchedRun
		hint  string // empty: they are not too many
	}{
		{nil, ""},
		{at(1, 2, 3), ""},
		{at(1, 2, 3, 4), "--until 2026-03-01T02:00:03.999999999Z"},
		{at(1, 2, 3, 3), "--until 2026-03-01T02:00:02.999999999Z"},
		{at(1, 1, 1, 1), "match fewer of them"},
	} {
		err := tooMany(c.found, 3, "rerun runs of p")
		if c.hint == "" {
			if err != nil {
				t.Errorf("%d: %v", len(c.found), err)
			}
			continue
		}
		e, ok := errors.AsType[*flow.Error](err)
		if !ok || e.Code != flow.CodeMatch || !strings.HasSuffix(e.Hint, c.hint) || !strings.Contains(e.Message, "4 runs match, and at most 3") {
			t.Errorf("%v: %+v", c.found, e)
			continue
		}
		text, found := strings.CutPrefix(e.Hint, "begin with the oldest: --until ")
		until, bad := time.Parse(time.RFC3339, text)
		if n := len(c.found); found && (bad != nil || c.found[n-1].At.Before(until) || c.found[0].At.After(until)) {
			t.Errorf("%s: %v", e.Hint, bad)
		}
	}
}
