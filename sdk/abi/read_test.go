package abi

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// TestReadIsUnmarshal holds the reader of run contexts against encoding/json.
func TestReadIsUnmarshal(t *testing.T) {
	t.Parallel()
	for _, doc := range []string{
		`{}`, ` { } `, `[]`, ``, `{`, `{"abi":"uniflow.run/1"}`, `{"abi":7}`, `{"abi":null}`, `{"abi":"a","abi":"b"}`, `{"abi":"\u00fc\ud83d\ude00\/"}`,
		`{"attempt":1,"max_attempts":null}`, `{"attempt":1.5}`, `{"attempt":"1"}`, `{"attempt":1e3}`, `{"attempt":99999999999999999999}`, `{"attempt":-3}`,
		`{"scheduled_at":"2026-11-23T10:00:00Z","started_at":"2026-11-23T10:00:00.25Z","deadline":null}`, `{"deadline":"soon"}`, `{"deadline":7}`,
		`{"context":{"a":[1,2.50,{"b":null}]},"with":{ "x" : "y" },"item":null,"item_index":0}`, `{"item_index":null}`, `{"item_index":"0"}`, `{"context":null}`,
		`{"features":["http","state"]}`, `{"features":[]}`, `{"features":null}`, `{"features":[1]}`, `{"features":["\u0061"]}`, `{"features":"http"}`,
		`{"unknown":{"deep":[[[]]]},"step":"s"}`, `{"step":"s"} `, `{"step":"s"}x`, `{"step":"s",}`, `{"step" "s"}`, `{"step":}`, `{"context":{"a":}}`,
		`{"with":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `}`, "{\"step\":\"grüße\"}",
	} {
		var got, want RunContext
		err, wantErr := got.read([]byte(doc)), json.Unmarshal([]byte(doc), &want)
		if (err == nil) != (wantErr == nil) {
			t.Errorf("%.80s: error %v, want %v", doc, err, wantErr)
			continue
		}
		if err == nil && !reflect.DeepEqual(got, want) {
			t.Errorf("%.80s: got %+v, want %+v", doc, got, want)
		}
	}
	if err := new(RunContext).read([]byte("{\"step\":\"\xff\"}")); err == nil {
		t.Error("a text that is no UTF-8 is read")
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"abi":"uniflow.run/1","attempt":1,"context":{"a":[1]},"features":["x"],"deadline":"2026-11-23T10:00:00Z"}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		var got, want RunContext
		if got.read(doc) != nil {
			return
		}
		if err := json.Unmarshal(doc, &want); err != nil {
			t.Errorf("%q is read, but %v", doc, err)
		}
	})
}

func BenchmarkDecodeRunContext(b *testing.B) {
	doc := []byte(`{"abi":"uniflow.run/1","tenant":"default","project":"climate","pipeline":"weather","version":"sha256:00","label":"v1.2.0","run_id":"01JDB000000000000000000000","step":"summarise","function":"summarise","attempt":1,"max_attempts":3,"idempotency_key":"k","trigger":"schedule","schedule":"weather","scheduled_at":"2026-11-23T10:00:00Z","interval_start":"2026-11-22T10:00:00Z","interval_end":"2026-11-23T10:00:00Z","started_at":"2026-11-23T10:00:00.25Z","deadline":"2026-11-23T10:01:00.25Z","last_success_at":null,"context":{"station":"seattle"},"with":{"rows":[1,2.50]},"item":null,"item_index":null,"features":["http","state"]}`)
	b.Run("read", func(b *testing.B) {
		for b.Loop() {
			if err := new(RunContext).read(doc); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("unmarshal", func(b *testing.B) {
		for b.Loop() {
			if err := json.Unmarshal(doc, new(RunContext)); err != nil {
				b.Fatal(err)
			}
		}
	})
}
