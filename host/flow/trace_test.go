package flow_test

import (
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// Promise: who knows a run's id knows its trace, and no two spans of a run are one.
func TestTracesFollowFromIDs(t *testing.T) {
	t.Parallel()
	// The example of the ULID specification, and its bytes as other libraries have them.
	id := flow.TraceID("01ARZ3NDEKTSV4RRFFQ69G5FAV")
	if got := hex.EncodeToString(id[:]); got != "01563e3ab5d3d6764c61efb99302bd5b" {
		t.Errorf("trace id %s", got)
	}
	at := time.UnixMilli(1_790_000_000_123).UTC()
	for _, run := range []flow.RunID{flow.NewRunID(at), flow.SlotRunID("acme", "p", "s", at)} {
		if !run.Time().Equal(at) {
			t.Errorf("time of %s is %s", run, run.Time())
		}
	}
	zero, ten := 0, 10
	seen := map[string]bool{}
	for _, parent := range []string{
		flow.Traceparent("01ARZ3NDEKTSV4RRFFQ69G5FAV", "", nil, 0, true), flow.Traceparent("01ARZ3NDEKTSV4RRFFQ69G5FAV", "a", nil, 0, true),
		flow.Traceparent("01ARZ3NDEKTSV4RRFFQ69G5FAV", "a", nil, 1, true), flow.Traceparent("01ARZ3NDEKTSV4RRFFQ69G5FAV", "a", &zero, 1, true),
		flow.Traceparent("01ARZ3NDEKTSV4RRFFQ69G5FAV", "a", &ten, 1, true), flow.Traceparent("01ARZ3NDEKTSV4RRFFQ69G5FAV", "a", &zero, 11, true),
		flow.Traceparent("any other name", "a", &zero, 11, false),
	} {
		if len(parent) != 55 || seen[parent] || strings.HasSuffix(parent, "-01") != strings.HasPrefix(parent, "00-01563e3ab5d3d6764c61efb99302bd5b-") {
			t.Errorf("traceparent %s", parent)
		}
		seen[parent] = true
	}
	if !flow.RunID("nothing").Time().IsZero() || flow.TraceID("00000000000000000000000000") == [16]byte{} {
		t.Error("an id that is none has a time, or no trace")
	}
}
