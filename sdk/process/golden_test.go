package process

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/uniflow-dev/uniflow/sdk/abi"
	"github.com/uniflow-dev/uniflow/sdk/abi/abitest"
	"github.com/uniflow-dev/uniflow/sdk/process/proto"
)

const vectors = "../abi/testdata"

func TestGoldenContexts(t *testing.T) {
	t.Parallel()
	for _, c := range abitest.Load[abitest.ContextCase](t, vectors, "context.json") {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			var got []byte
			k := newKit(t, map[string]Func{})
			f := func(_ context.Context, call *Call) (err error) {
				got, err = call.Encode()
				return err
			}
			k.server.plugin.Functions = map[string]Func{"any": f}
			var head struct{ Function string }
			_ = json.Unmarshal(c.Document, &head) // a document of another shape has none
			if head.Function != "" {
				k.server.plugin.Functions[head.Function] = f
			}
			s := &stream{ctx: t.Context()}
			if err := k.server.Run(&proto.RunRequest{ContextJson: c.Document, CallId: "word"}, s); err != nil {
				t.Fatal(err)
			}
			if done := s.done(t); (c.Error != "") != (done.GetKind() == int32(abi.KindPermanent)) {
				t.Errorf("got %v, want error %q", done, c.Error)
			}
			var want bytes.Buffer
			if len(c.Encoded) > 0 && json.Compact(&want, c.Encoded) == nil && !bytes.Equal(got, want.Bytes()) {
				t.Errorf("encoded again:\n%s\nwant\n%s", got, want.Bytes())
			}
		})
	}
}

func TestGoldenOutputs(t *testing.T) {
	t.Parallel()
	for _, c := range abitest.Load[abitest.AttemptCase](t, vectors, "attempt.json") {
		if c.Limits.Outputs > 0 {
			continue // the host of processes sets no limit of its own on the number
		}
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			k := newKit(t, one(func(_ context.Context, call *Call) error {
				for _, do := range c.Calls {
					outputs(t, call, do)
				}
				return nil
			}))
			got := map[string]json.RawMessage{}
			for _, e := range k.run(t.Context(), t, abi.RunContext{}, int64(c.Limits.OutputBytes)).events {
				if o := e.GetOutput(); o != nil {
					got[o.GetName()] = o.GetValueJson()
				}
			}
			if sent, want := compact(t, got), compact(t, c.Outputs); c.Outputs != nil && sent != want {
				t.Errorf("sent %.300s, want %.300s", sent, want)
			}
		})
	}
}

// outputs makes the calls of a vector that a kit makes as such; a fail is the error of the function.
func outputs(t *testing.T, call *Call, do abitest.AttemptCall) {
	t.Helper()
	if do.Do != "output" {
		return
	}
	for i := range max(do.Times, 1) {
		name := strings.ReplaceAll(string(do.Key), "%d", fmt.Sprint(i))
		got := "ok"
		if err := call.Output(name, json.RawMessage(do.Value)); err != nil {
			e, _ := errors.AsType[abi.Errno](err)
			got = e.Name()
		}
		if got != do.Errno {
			t.Errorf("output %.40q: %s, want %s", name, got, do.Errno)
		}
	}
}

func compact(t *testing.T, outputs map[string]json.RawMessage) string {
	t.Helper()
	doc, err := json.Marshal(outputs)
	if err != nil {
		t.Fatal(err)
	}
	return string(doc)
}
