package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/hosttest"
	"github.com/uniflow-dev/uniflow/sdk/abi"
)

// build compiles the plugin as its users do.
func build(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "plugin.wasm")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags=-s -w", "-buildmode=c-shared", "-o", path, ".")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return path
}

func load(t *testing.T, path string, c hosttest.Config) *hosttest.Module {
	t.Helper()
	m, err := hosttest.Load(t.Context(), path, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

func TestTheModule(t *testing.T) {
	t.Parallel()
	path, cache := build(t), t.TempDir()
	load(t, path, hosttest.Config{CacheDir: cache}) // compiles once, for all
	t.Run("a mounted file is grouped", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "strikes.csv"), []byte(strikes), 0o600); err != nil {
			t.Fatal(err)
		}
		m := load(t, path, hosttest.Config{CacheDir: cache, Grant: flow.Grant{Mount: map[string]string{"/data": dir}}})
		for range 2 { // the second time in the state that the first left
			out, err := m.Call(t.Context(), hosttest.Input{Function: "read", With: map[string]any{
				"from": "/data/strikes.csv", "group": json.RawMessage(`{"by":["State"],"columns":{"n":{"count":"*"}}}`), "sort": []string{"State"},
			}})
			if err != nil || string(out.Outputs["rows"]) != `[{"State":"Ohio","n":2},{"State":"Texas","n":2}]` {
				t.Fatalf("got %s, %q, %v", out.Outputs["rows"], out.Message, err)
			}
		}
	})
	t.Run("without a grant there is no file", func(t *testing.T) {
		t.Parallel()
		out, err := load(t, path, hosttest.Config{CacheDir: cache}).Call(t.Context(), hosttest.Input{With: map[string]any{"from": "/data/strikes.csv"}})
		if err != nil || abi.Kind(out.Verdict) != abi.KindPermanent {
			t.Errorf("got %v %q, %v", out.Verdict, out.Message, err)
		}
	})
	t.Run("an artifact larger than the memory", func(t *testing.T) {
		t.Parallel()
		streams(t, path, cache)
	})
	t.Run("a result larger than a message", func(t *testing.T) {
		t.Parallel()
		spills(t, path, cache)
	})
}

// lines are rows of one width, so that any slice of a table of them can be made.
func lines(offset, length, size int) []byte {
	const width = 64
	var b bytes.Buffer
	for i := offset / width; b.Len() < length+width && i*width < size; i++ {
		if i == 0 {
			fmt.Fprintf(&b, "%-8s,%-54s\n", "n", "filler")
			continue
		}
		fmt.Fprintf(&b, "%08d,%054d\n", i, i%7)
	}
	part := b.Bytes()[min(offset%width, b.Len()):]
	return part[:min(length, len(part), max(size-offset, 0))]
}

// serve answers with a table of size bytes, and keeps what is put.
func serve(size int, put *[]byte) func(op string, request, body []byte) ([]byte, error) {
	return func(op string, request, body []byte) ([]byte, error) {
		var req struct {
			Offset int `json:"offset"`
			Length int `json:"length"`
		}
		if err := json.Unmarshal(request, &req); err != nil {
			return nil, err
		}
		switch op {
		case abi.OpArtifactGet:
			return lines(req.Offset, req.Length, size), nil
		case abi.OpArtifactPut:
			*put = slices.Clone(body)
			return []byte(`{"$artifact":"sha256:00","size":1,"type":"text/csv"}`), nil
		}
		return nil, &flow.ServiceError{Errno: int(abi.UnknownOp), Code: abi.UnknownOp.Name()}
	}
}

// ref stands for what serve answers with.
func ref(size int) map[string]any {
	return map[string]any{"$artifact": flow.DigestOf([]byte("a table")), "size": size, "type": "text/csv"}
}

func streams(t *testing.T, path, cache string) {
	t.Helper()
	const size = 14 << 20
	m := load(t, path, hosttest.Config{CacheDir: cache, Limits: flow.Limits{Memory: 12 * flow.MiB}})
	var put []byte
	begin := time.Now()
	out, err := m.Call(t.Context(), hosttest.Input{
		With: map[string]any{
			"from": ref(size), "header": []string{"n", "k"}, "types": map[string]string{"n": "integer", "k": "integer"}, "invalid": "drop",
			"group": json.RawMessage(`{"by":["k"],"columns":{"rows":{"count":"*"},"last":{"max":"n"}}}`), "sort": []string{"k"}, "to": "groups.csv",
		},
		Answer: serve(size, &put), Timeout: 10 * time.Minute,
	})
	if err != nil || string(put) != groups(size/64) {
		t.Fatalf("got %q, %q, %v", put, out.Message, err)
	}
	t.Logf("%d MiB in %s, fuel %d, memory %s", size>>20, time.Since(begin), out.Usage.Fuel, out.Usage.Memory)
}

// groups is what comes of a table of so many lines.
func groups(lines int) string {
	var count, last [7]int
	for i := 1; i < lines; i++ {
		count[i%7]++
		last[i%7] = i
	}
	var table strings.Builder
	table.WriteString("k,last,rows\n")
	for k := range count {
		fmt.Fprintf(&table, "%d,%d,%d\n", k, last[k], count[k])
	}
	return table.String()
}

func spills(t *testing.T, path, cache string) {
	t.Helper()
	const size = 6 << 20
	m := load(t, path, hosttest.Config{CacheDir: cache, Limits: flow.Limits{Memory: 32 * flow.MiB}})
	out, err := m.Call(t.Context(), hosttest.Input{With: map[string]any{"from": ref(size), "to": "copy.csv"}, Answer: serve(size, new([]byte)), Timeout: 10 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	var got flow.ArtifactRef
	if err := json.Unmarshal(out.Outputs["artifact"], &got); err != nil {
		t.Fatalf("%v: %q", err, out.Message)
	}
	want := flow.ArtifactRef{Digest: flow.DigestOf(lines(0, size, size)), Size: size, Type: "text/csv"}
	if got != want || len(out.Outputs) != 4 {
		t.Errorf("got %+v, want %+v (%v)", got, want, out.Outputs)
	}
}

func TestTheDescriptorDescribesTheEntries(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("uniflow.plugin.json")
	if err != nil {
		t.Fatal(err)
	}
	d, err := abi.DecodeDescriptor(doc)
	if err != nil || d.Name != "csv" || len(d.Functions) != 3 || !bytes.Equal(d.Functions["uniflow_run"].With, d.Functions["read"].With) || d.Functions["read"].With == nil || d.Functions["write"].Outputs == nil {
		t.Errorf("got %+v, %v", d, err)
	}
}
