package hosttest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"testing"

	"github.com/uniflow-dev/uniflow/host/hosttest"
)

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
	module, err := hosttest.Load(t.Context(), "../../plugins/echo/echo.wasm", hosttest.Config{CacheDir: t.TempDir()})
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
