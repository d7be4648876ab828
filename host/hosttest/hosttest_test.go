package hosttest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host"
	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/hosttest"
)

// TestMain makes this program a worker where a test asks for one.
func TestMain(m *testing.M) {
	host.WorkerMain()
	os.Exit(m.Run())
}

func Example() {
	ctx := context.Background()
	module, err := hosttest.Load(ctx, "../../plugins/echo/echo.wasm", hosttest.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer module.Close()
	out, err := module.Call(ctx, hosttest.Input{With: map[string]any{"name": "Ada"}})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(out.Verdict, string(out.Outputs["with"]))
	// Output: 0 {"name":"Ada"}
}

func TestLoadTellsWhatIsWrong(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"none.wasm", "hosttest.go"} {
		if _, err := hosttest.Load(t.Context(), path, hosttest.Config{}); err == nil {
			t.Errorf("%s is loaded", path)
		}
	}
}

func TestCallsAreApart(t *testing.T) {
	t.Parallel()
	for _, where := range []flow.Isolation{"", flow.IsolationInline, flow.IsolationWorker} {
		t.Run(string(where), func(t *testing.T) {
			t.Parallel()
			callsAreApart(t, hosttest.Config{CacheDir: t.TempDir(), Isolation: where})
		})
	}
	if _, err := hosttest.Load(t.Context(), "../../plugins/echo/echo.wasm", hosttest.Config{Isolation: "moon"}); err == nil {
		t.Error("an isolation that does not exist is accepted")
	}
}

func callsAreApart(t *testing.T, c hosttest.Config) {
	t.Helper()
	module, err := hosttest.Load(t.Context(), "../../plugins/echo/echo.wasm", c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = module.Close() })
	for i := range 3 {
		out, err := module.Call(t.Context(), hosttest.Input{With: map[string]any{"i": i}})
		if err != nil || string(out.Outputs["with"]) != fmt.Sprintf(`{"i":%d}`, i) {
			t.Errorf("got %+v, %v", out, err)
		}
	}
	out, err := module.Call(t.Context(), hosttest.Input{With: map[string]any{"raw": json.RawMessage("{ }")}})
	if err != nil || string(out.Outputs["with"]) != `{"raw":{ }}` {
		t.Errorf("got %s, %v, want the raw value as it is", out.Outputs["with"], err)
	}
	if _, err := module.Call(t.Context(), hosttest.Input{With: map[string]any{"f": func() {}}}); err == nil {
		t.Error("a value that is no JSON is accepted")
	}
}

// TestFuelIsTheSameEverywhere calls a module in this process and in a worker, in instances that are new and that were used.
func TestFuelIsTheSameEverywhere(t *testing.T) {
	t.Parallel()
	var counts []int64
	for _, where := range []flow.Isolation{flow.IsolationInline, flow.IsolationWorker} {
		module, err := hosttest.Load(t.Context(), "../../plugins/echo/echo.wasm", hosttest.Config{CacheDir: t.TempDir(), Isolation: where})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = module.Close() })
		for range 3 {
			out, err := module.Call(t.Context(), hosttest.Input{With: map[string]any{"name": "Ada"}, At: time.Date(2026, 11, 1, 6, 0, 0, 0, time.UTC)})
			if err != nil {
				t.Fatal(err)
			}
			counts = append(counts, out.Usage.Fuel)
		}
	}
	if counts[0] == 0 || slices.Min(counts) != slices.Max(counts) {
		t.Errorf("fuel %v, want the same each time", counts)
	}
}

// TestExtismRunsEverywhere calls a plugin of Extism in this process and in a worker.
func TestExtismRunsEverywhere(t *testing.T) {
	t.Parallel()
	for _, where := range []flow.Isolation{flow.IsolationInline, flow.IsolationWorker} {
		module, err := hosttest.Load(t.Context(), "../internal/wasm/testdata/extism/extism.wasm", hosttest.Config{CacheDir: t.TempDir(), Isolation: where})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = module.Close() })
		for _, value := range []string{"one", "two"} {
			out, err := module.Call(t.Context(), hosttest.Input{Function: "configured", With: map[string]any{"name": value}, Stdin: json.RawMessage(`"name"`)})
			if err != nil || string(out.Outputs["result"]) != `"`+value+`"` {
				t.Errorf("%s: %+v, %v", where, out, err)
			}
		}
		_, err = module.Call(t.Context(), hosttest.Input{Stdin: json.RawMessage(`"\u0005\u0000"`)}) // load_u8 at 0
		fault, ok := errors.AsType[*flow.Fault](err)
		if !ok || fault.Reason != flow.ReasonTrap || !strings.Contains(fault.Message, "extism:host/env.load_u8") {
			t.Errorf("%s: %v", where, err)
		}
	}
}
