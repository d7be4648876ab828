package flow

import (
	"encoding/json"
	"testing"
	"time"
)

func TestDurationText(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"90s": "1m30s", "1h": "1h", "10m": "10m", "1h30m": "1h30m", "2d": "48h", "1d12h": "36h", "0s": "0s", "250ms": "250ms"} {
		var d Duration
		if err := d.UnmarshalText([]byte(text)); err != nil || d.String() != want {
			t.Errorf("%s: got %s, %v; want %s", text, d, err, want)
		}
		var again Duration
		if err := again.UnmarshalText([]byte(d.String())); err != nil || again != d {
			t.Errorf("%s does not survive its own text", d)
		}
	}
	for _, text := range []string{"", "5", "-1s", "1x", "d", "-1d", "99999d", "1d-2h", "2562047h1d", "36500d2562047h"} {
		var d Duration
		if err := d.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is accepted as %s", text, d)
		}
	}
}

func TestSizeText(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Size{"0B": 0, "500B": 500, "64KiB": 64 * KiB, "64MiB": 64 * MiB, "1024GiB": 1 << 40} {
		var s Size
		if err := s.UnmarshalText([]byte(text)); err != nil || s != want {
			t.Errorf("%s: got %d, %v; want %d", text, s, err, want)
		}
	}
	if got := (64 * MiB).String(); got != "64MiB" {
		t.Errorf("got %s", got)
	}
	for _, text := range []string{"", "64", "64MB", "-1B", "1025GiB", "1.5MiB", "B", "MiB", "18446744073709551616B"} {
		var s Size
		if err := s.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is accepted as %s", text, s)
		}
	}
}

func TestBackoffText(t *testing.T) {
	t.Parallel()
	var b Backoff
	if err := b.UnmarshalText([]byte("1s..1m")); err != nil || b.Min != time.Second || b.Max != time.Minute || b.String() != "1s..1m" {
		t.Errorf("got %v, %v", b, err)
	}
	if err := b.UnmarshalText([]byte("5s")); err != nil || b.Min != b.Max || b.String() != "5s" {
		t.Errorf("got %v, %v", b, err)
	}
	for _, text := range []string{"1m..1s", "..", "1s..", "..1s", "x"} {
		if err := b.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is accepted as %s", text, b)
		}
	}
}

func TestDigest(t *testing.T) {
	t.Parallel()
	d := DigestOf([]byte("abc"))
	if !d.Valid() || d.Short() != "ba7816bf8f01" {
		t.Errorf("got %s, short %s", d, d.Short())
	}
	for _, bad := range []Digest{"", "sha256:", d + "0", "sha256:" + Digest(make([]byte, 64)), "sha512:" + Digest(d.Hex()), Digest(d.Hex())} {
		if bad.Valid() {
			t.Errorf("%q counts as a digest", bad)
		}
	}
	if Digest("sha256:abc").Short() != "abc" {
		t.Error("a short text is not cut")
	}
}

func TestRunIDs(t *testing.T) {
	t.Parallel()
	slot := time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)
	a := SlotRunID("default", "weather", "weather", slot)
	if a != SlotRunID("default", "weather", "weather", slot.In(time.FixedZone("x", 3600))) {
		t.Error("the id of a slot depends on the zone in which it is written")
	}
	if len(a) != 26 || a[:10] != NewRunID(slot)[:10] {
		t.Errorf("%s does not begin with the time of its slot", a)
	}
	// The parts are told apart however they are cut.
	if SlotRunID("a", "bc", "d", slot) == SlotRunID("ab", "c", "d", slot) {
		t.Error("two schedules share an id")
	}
	if early, late := NewRunID(slot), NewRunID(slot.Add(time.Millisecond)); early >= late {
		t.Errorf("%s does not sort before %s", early, late)
	}
	if one, other := NewRunID(slot), NewRunID(slot); one == other {
		t.Error("two fresh ids are equal")
	}
}

// TestULID holds the encoding against the example of the specification: 01ARZ3NDEKTSV4RRFFQ69G5FAV.
func TestULID(t *testing.T) {
	t.Parallel()
	tail := [10]byte{0xd6, 0x76, 0x4c, 0x61, 0xef, 0xb9, 0x93, 0x02, 0xbd, 0x5b}
	if got := ulid(time.UnixMilli(1469922850259), tail); got != "01ARZ3NDEKTSV4RRFFQ69G5FAV" {
		t.Errorf("got %s", got)
	}
}

func TestPlanSurvivesJSON(t *testing.T) {
	t.Parallel()
	yes := true
	p := Plan{
		Tenant: "acme", Pipeline: "p", Digest: DigestOf(nil), Timeout: Duration(time.Hour),
		Context: map[string]json.RawMessage{"n": json.RawMessage("12345678901234567890")},
		Steps:   []PlanStep{{Name: "a", Plugin: "x", On: OnSuccess, Retry: Retry{Attempts: 3, Backoff: Backoff{time.Second, time.Minute}}, Limits: Limits{Memory: 64 * MiB}}},
		Plugins: map[string]PlanPlugin{"x": {Name: "x", Kind: KindWasm, Grant: Grant{Mount: map[string]string{"/d": "/e"}}}},
	}
	raw, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	var back Plan
	if err := json.Unmarshal(raw, &back); err != nil {
		t.Fatal(err)
	}
	again, _ := json.Marshal(back)
	if string(raw) != string(again) {
		t.Errorf("got %s, want %s", again, raw)
	}
	if p.ID() != "acme/p" || p.Step("a") == nil || p.Step("b") != nil {
		t.Error("a plan does not find its own parts")
	}
	if r := (&ScheduleRecord{Override: &yes}); !r.Active() {
		t.Error("an override does not enable")
	}
}

func TestPlanEnds(t *testing.T) {
	t.Parallel()
	p := Plan{Steps: []PlanStep{{Name: "a", On: OnSuccess}, {Name: "b", On: OnSuccess, Needs: []string{"a"}}, {Name: "c", On: OnSuccess}, {Name: "tidy", On: OnAlways, Needs: []string{"b"}}}}
	if got := p.Ends(); len(got) != 2 || got[0] != "b" || got[1] != "c" {
		t.Errorf("got %v", got)
	}
}

func TestEditDistance(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"abc", "abc", 0}, {"daily", "dayly", 1}, {"hourly", "hourl", 1}, {"clean", "celan", 1}, {"step", "steps", 1}, {"kitten", "sitting", 3}} {
		if got := EditDistance(c.a, c.b); got != c.want {
			t.Errorf("%q, %q: got %d, want %d", c.a, c.b, got, c.want)
		}
		if got := EditDistance(c.b, c.a); got != c.want {
			t.Errorf("%q, %q: got %d, want %d", c.b, c.a, got, c.want)
		}
	}
}
