package wasm

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// TestDocumentIsWhatMarshalMakes compares the writer with the library, byte by byte.
func TestDocumentIsWhatMarshalMakes(t *testing.T) {
	t.Parallel()
	at, index := time.Date(2026, 11, 1, 2, 30, 0, 123_000, time.UTC), 3
	raws := func(pairs ...string) map[string]json.RawMessage {
		m := map[string]json.RawMessage{}
		for i := 0; i < len(pairs); i += 2 {
			m[pairs[i]] = json.RawMessage(pairs[i+1])
		}
		return m
	}
	for name, c := range map[string]flow.RunContext{
		"nothing": {},
		"all": {
			ABI: flow.RunContextABI, Tenant: "default", Project: `a "quoted" \ name`, Pipeline: "weather", Version: flow.DigestOf(nil),
			Label: "größe <&>\u2028\n\x00", RunID: "01", Step: "load", Function: "f", Attempt: 2, MaxAttempts: 5, IdempotencyKey: "k",
			Trigger: flow.TriggerManual, Schedule: "s", ScheduledAt: at, IntervalStart: &at, IntervalEnd: &at, StartedAt: at.In(time.FixedZone("", 3600)),
			Deadline: at, LastSuccessAt: &at, Context: raws("b", `{"x":[1,2.50,"y"]}`, "a", "null", `k"ey`, `"<"`), With: raws(),
			Item: json.RawMessage(`"item"`), ItemIndex: &index, Features: []string{"artifact", "a&b"}, Traceparent: "00-ab-cd-01",
		},
		"large values": {
			Context: raws("large", `"`+strings.Repeat("x", 1<<20)+`"`, "next", "1"), With: raws("a", `"`+strings.Repeat("y", largeValue)+`"`, "b", `"`+strings.Repeat("z", largeValue-3)+`"`),
			Item: json.RawMessage(`"` + strings.Repeat("i", largeValue) + `"`), Features: []string{},
		},
		"no bytes": {Label: "bad \xff utf-8", Context: raws("empty", ""), Features: []string{}},
	} {
		if c.Context["empty"] != nil { // the library takes that for a mistake
			c.Context["empty"] = json.RawMessage("null")
		}
		want, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		// The library escapes what HTML would read in values that are JSON already; both mean the same.
		doc := document(&c)
		got := make([]byte, doc.size())
		for at := 0; at < len(got); at += 50_000 { // as a guest with a small buffer reads it
			doc.read(got[at:min(at+50_000, len(got))], uint64(at))
		}
		if n := doc.read(make([]byte, 9), uint64(len(got))); n != 0 {
			t.Errorf("%s: %d bytes after the end", name, n)
		}
		if compacted, err := json.Marshal(json.RawMessage(got)); err != nil || string(compacted) != string(want) {
			t.Errorf("%s:\n got %.2000s\nwant %.2000s\n%v", name, got, want, err)
		}
	}
}
