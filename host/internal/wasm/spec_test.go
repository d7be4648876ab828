package wasm_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/uniflow-dev/uniflow/host/internal/wasm/binary"
)

// specCommand is one line of a script of the specification's tests, in the form of the tool wast2json.
type specCommand struct {
	Type       string     `json:"type"`
	Line       int        `json:"line"`
	Name       string     `json:"name"`
	Filename   string     `json:"filename"`
	As         string     `json:"as"`
	ModuleType string     `json:"module_type"`
	Action     specAction `json:"action"`
}

type specAction struct {
	Type   string      `json:"type"`
	Module string      `json:"module"`
	Field  string      `json:"field"`
	Args   []specValue `json:"args"`
}

type specValue struct {
	Type     string `json:"type"`
	LaneType string `json:"lane_type"`
	Value    any    `json:"value"`
}

// raw returns the value as the engine takes it.
func (v specValue) raw(t *testing.T) []uint64 {
	t.Helper()
	if v.Type != "v128" {
		text, _ := v.Value.(string)
		return []uint64{number(t, text, v.Type)}
	}
	lanes, _ := v.Value.([]any)
	words := []uint64{0, 0}
	width := 128 / len(lanes)
	for i, lane := range lanes {
		text, _ := lane.(string)
		bits := number(t, text, v.LaneType) & (math.MaxUint64 >> (64 - width))
		words[i*width/64] |= bits << (i * width % 64)
	}
	return words
}

func number(t *testing.T, text, typ string) uint64 {
	t.Helper()
	switch {
	case text == "null":
		return 0
	case strings.HasPrefix(text, "nan:"):
		if strings.HasSuffix(typ, "32") {
			return 0x7fc00000
		}
		return 0x7ff8000000000000
	case strings.HasPrefix(text, "-"):
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return uint64(n)
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	if typ == "externref" {
		n++ // zero is null
	}
	return n
}

// world is an engine with the modules of one script.
type world struct {
	runtime wazero.Runtime
	rewrite bool
	modules map[string]api.Module
	last    api.Module
}

func newWorld(t *testing.T, rewrite bool, spectest []byte) *world {
	t.Helper()
	w := &world{rewrite: rewrite, modules: map[string]api.Module{}}
	w.runtime = wazero.NewRuntimeWithConfig(t.Context(), wazero.NewRuntimeConfig().WithCoreFeatures(api.CoreFeaturesV2))
	t.Cleanup(func() { _ = w.runtime.Close(context.WithoutCancel(t.Context())) })
	if rewrite {
		tickAlways(t, w.runtime, 1000)
	}
	if _, err := w.instantiate(t.Context(), spectest, "spectest"); err != nil {
		t.Fatal(err)
	}
	return w
}

// tickAlways gives the guests of a runtime as much fuel as they want, in slices, but not for ever: a module that was
// rewritten wrongly may not end.
func tickAlways(tb testing.TB, r wazero.Runtime, slice uint64) {
	tb.Helper()
	ticks := 0
	tick := func(_ context.Context, m api.Module, _ []uint64) {
		if ticks++; ticks > 20_000_000 {
			panic("the guest does not end")
		}
		m.ExportedGlobal(binary.FuelExport).(api.MutableGlobal).Set(slice)
	}
	_, err := r.NewHostModuleBuilder(binary.TickModule).NewFunctionBuilder().
		WithGoModuleFunction(api.GoModuleFunc(tick), nil, nil).Export(binary.TickName).Instantiate(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
}

func (w *world) instantiate(ctx context.Context, b []byte, name string) (api.Module, error) {
	if w.rewrite {
		m, err := binary.Decode(b)
		if err != nil {
			return nil, err
		}
		if b, _, err = m.Rewrite(binary.Options{ExportGlobals: true}); err != nil {
			return nil, err
		}
	}
	return w.runtime.InstantiateWithConfig(ctx, b, wazero.NewModuleConfig().WithName(name).WithStartFunctions())
}

// module returns the module that an action names.
func (w *world) module(name string) api.Module {
	if name == "" {
		return w.last
	}
	return w.modules[name]
}

// act does an action and returns what came of it, as text.
func (w *world) act(t *testing.T, a specAction) string {
	t.Helper()
	m := w.module(a.Module)
	if m == nil {
		return "no module"
	}
	if a.Type == "get" {
		return fmt.Sprint(m.ExportedGlobal(a.Field).Get())
	}
	var args []uint64
	for _, arg := range a.Args {
		args = append(args, arg.raw(t)...)
	}
	f := m.ExportedFunction(a.Field)
	results, err := f.Call(t.Context(), args...)
	if err != nil {
		trap, _, _ := strings.Cut(err.Error(), "\n")
		return trap
	}
	if len(f.Definition().ResultTypes()) == 1 && f.Definition().ResultTypes()[0] == 0x70 { // a reference is an address
		return fmt.Sprint("null: ", results[0] == 0)
	}
	return fmt.Sprint(results)
}

// specTests returns the folder of the specification's tests that the engine's module carries.
func specTests(t *testing.T) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/tetratelabs/wazero").Output()
	if err != nil {
		t.Fatalf("the module of the engine, which carries the specification's tests, cannot be found: %v", err)
	}
	return filepath.Join(strings.TrimSpace(string(out)), "internal", "integration_test", "spectest")
}

// TestSpecification executes the scripts of the specification's tests on the modules as they are and on rewritten ones:
// whatever comes of a line must be the same.
func TestSpecification(t *testing.T) {
	t.Parallel()
	dir := specTests(t)
	spectest, err := os.ReadFile(filepath.Join(dir, "testdata", "spectest.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	scripts, err := filepath.Glob(filepath.Join(dir, "v2", "testdata", "*.json"))
	if err != nil || len(scripts) < 100 {
		t.Fatalf("%d scripts, %v", len(scripts), err)
	}
	for _, path := range scripts {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".json"), func(t *testing.T) {
			t.Parallel()
			script := specScript{dir: filepath.Dir(path), plain: newWorld(t, false, spectest), rewritten: newWorld(t, true, spectest)}
			script.run(t, path)
		})
	}
}

// specScript is a script in both worlds.
type specScript struct {
	dir              string
	plain, rewritten *world
}

func (s *specScript) run(t *testing.T, path string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var script struct{ Commands []specCommand }
	if err := json.Unmarshal(b, &script); err != nil {
		t.Fatal(err)
	}
	for i, c := range script.Commands {
		switch {
		case c.Action.Type != "":
			if plain, rewritten := s.plain.act(t, c.Action), s.rewritten.act(t, c.Action); plain != rewritten {
				t.Errorf("line %d, %s: %s, rewritten %s", c.Line, c.Action.Field, plain, rewritten)
			}
		case c.Filename != "" && c.ModuleType != "text":
			as := ""
			if i+1 < len(script.Commands) && script.Commands[i+1].Type == "register" {
				as = script.Commands[i+1].As
			}
			s.module(t, c, as)
		}
	}
}

// module instantiates a module, or sees that it is refused, in both worlds.
func (s *specScript) module(t *testing.T, c specCommand, as string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(s.dir, c.Filename))
	if err != nil {
		t.Fatal(err)
	}
	plain, plainErr := s.plain.instantiate(t.Context(), b, as)
	rewritten, err := s.rewritten.instantiate(t.Context(), b, as)
	if (plainErr == nil) != (err == nil) {
		t.Errorf("line %d, %s %s: %v, rewritten %v", c.Line, c.Type, c.Filename, plainErr, err)
	}
	if c.Type != "module" {
		return
	}
	s.plain.last, s.rewritten.last = plain, rewritten
	if c.Name != "" {
		s.plain.modules[c.Name], s.rewritten.modules[c.Name] = plain, rewritten
	}
}
