package wasm_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/plugintest"
	"github.com/uniflow-dev/uniflow/host/internal/plugintest/guest"
	"github.com/uniflow-dev/uniflow/host/internal/wasm"
	bt "github.com/uniflow-dev/uniflow/host/internal/wasm/binary/binarytest"
)

// parsePlugin is testdata/lines/parse.c, built with debug information of a version.
func parsePlugin(t *testing.T, version string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "lines", version+".wasm"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// endOf calls a function and returns the message of its fault.
func endOf(t *testing.T, m flow.Module, function string, limits flow.Limits) string {
	t.Helper()
	call := plugintest.NewCall(t, guest.With{})
	call.Context.Function, call.Limits = function, limits
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err := m.Call(ctx, call, plugintest.NewHost(t.Context()))
	fault, ok := errors.AsType[*flow.Fault](err)
	if !ok {
		t.Fatalf("%s: %v, want a fault", function, err)
	}
	return fault.Message
}

// traps are the functions of parse.c, and how the messages of their faults begin.
var traps = []struct{ function, message string }{ //nolint:gochecknoglobals // a table
	{"uniflow_run", "the guest trapped: unreachable in parse (parse.c:12), called from parse (parse.c:14), called from uniflow_run (parse.c:22);"},
	{"divide", "the guest trapped: integer divide by zero in divide (parse.c:30);"},
	{"reach", "the guest trapped: out of bounds memory access in reach (parse.c:34);"},
}

func TestTrapsNameLines(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"dwarf4", "dwarf5"} {
		dir := t.TempDir()
		p := pluginOf(t, parsePlugin(t, version))
		for _, name := range []string{"compiled", "from the cache"} {
			m := loadWith(t, wasm.Config{CacheDir: dir}, p)
			for _, trap := range traps {
				for range 2 { // an instance that was kept, and lines that were
					if got := endOf(t, m, trap.function, flow.Limits{}); !strings.HasPrefix(got, trap.message) {
						t.Errorf("%s %s: %s:\n got %s\nwant %s", version, name, trap.function, got, trap.message)
					}
				}
			}
			if got := endOf(t, m, "spin", flow.Limits{Fuel: 100_000}); !strings.Contains(got, " in spin (parse.c:39)") {
				t.Errorf("%s %s: out of fuel: %s", version, name, got)
			}
		}
	}
}

// withDebug returns the module with other content of its debug sections; nil removes one.
func withDebug(module []byte, change func(name string, content []byte) []byte) []byte {
	out := bytes.Clone(module[:8])
	for rest := module[8:]; len(rest) > 0; {
		size, n := binary.Uvarint(rest[1:])
		id, content := rest[0], rest[1+n:1+n+int(size)]
		rest = rest[1+n+int(size):]
		if id == 0 {
			length, n := binary.Uvarint(content)
			if name := string(content[n : n+int(length)]); strings.HasPrefix(name, ".debug_") {
				changed := change(name, bytes.Clone(content[n+int(length):]))
				if changed == nil {
					continue
				}
				content = append(bytes.Clone(content[:n+int(length)]), changed...)
			}
		}
		out = append(append(append(out, id), bt.U32(len(content))...), content...)
	}
	return out
}

// strip returns the module without debug information.
func strip(module []byte) []byte {
	return withDebug(module, func(string, []byte) []byte { return nil })
}

func TestTrapsWithoutLines(t *testing.T) {
	t.Parallel()
	m := load(t, pluginOf(t, strip(parsePlugin(t, "dwarf4"))))
	for _, trap := range traps {
		got := endOf(t, m, trap.function, flow.Limits{})
		if want := regexp.MustCompile(` \(parse\.c:\d+\)`).ReplaceAllString(trap.message, ""); !strings.HasPrefix(got, want) {
			t.Errorf("%s:\n got %s\nwant %s", trap.function, got, want)
		}
	}
}

// The file may be another, or none, by the time of the trap.
func TestLinesOfAFileThatIsGone(t *testing.T) {
	t.Parallel()
	p := pluginOf(t, parsePlugin(t, "dwarf4"))
	m := load(t, p)
	if err := os.WriteFile(p.Path, parsePlugin(t, "dwarf5"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := endOf(t, m, "divide", flow.Limits{}); !strings.HasPrefix(got, "the guest trapped: integer divide by zero in divide;") {
		t.Errorf("another file: %s", got)
	}
	if err := os.Remove(p.Path); err != nil {
		t.Fatal(err)
	}
	if got := endOf(t, m, "divide", flow.Limits{}); !strings.HasPrefix(got, "the guest trapped: integer divide by zero in divide;") {
		t.Errorf("no file: %s", got)
	}
}

// Debug information changes nothing of what a guest does or is charged.
func TestFuelWithLines(t *testing.T) {
	t.Parallel()
	var used []int64
	for _, module := range [][]byte{parsePlugin(t, "dwarf4"), strip(parsePlugin(t, "dwarf4"))} {
		call := plugintest.NewCall(t, guest.With{})
		call.Context.Function, call.Limits.Fuel = "uniflow_run", 1_000_000
		_, err := load(t, pluginOf(t, module)).Call(t.Context(), call, plugintest.NewHost(t.Context()))
		fault, ok := errors.AsType[*flow.Fault](err)
		if !ok {
			t.Fatal(err)
		}
		used = append(used, fault.Usage.Fuel)
	}
	if used[0] == 0 || used[0] != used[1] {
		t.Errorf("fuel with and without debug information: %v", used)
	}
}

// What a module says of its lines may be anything.
func TestHostileDebugSections(t *testing.T) {
	t.Parallel()
	module := parsePlugin(t, "dwarf5")
	for name, change := range map[string]func(section string, content []byte) []byte{
		"garbage":   func(_ string, c []byte) []byte { return bytes.Repeat([]byte{0xde, 0xad}, len(c)) },
		"ones":      func(_ string, c []byte) []byte { return bytes.Repeat([]byte{0xff}, len(c)) },
		"zeros":     func(_ string, c []byte) []byte { return make([]byte, 1<<20) },
		"cut":       func(_ string, c []byte) []byte { return c[:len(c)/2] },
		"too large": func(_ string, c []byte) []byte { return append(c, make([]byte, 17<<20)...) },
		"one alone": func(section string, c []byte) []byte {
			if section != ".debug_line" {
				return nil
			}
			return c
		},
	} {
		if name == "too large" {
			whole := change
			change = func(section string, c []byte) []byte {
				if section != ".debug_line" {
					return c
				}
				return whole(section, c)
			}
		}
		m := load(t, pluginOf(t, withDebug(module, change)))
		for _, trap := range traps {
			got := endOf(t, m, trap.function, flow.Limits{})
			if want, _, _ := strings.Cut(trap.message, " ("); !strings.HasPrefix(got, want) || strings.Contains(got, "(") {
				t.Errorf("%s, %s: %s", name, trap.function, got)
			}
		}
	}
}

// The places in a message are of the guest's own making.
func TestNamesOfFilesArePrintable(t *testing.T) {
	t.Parallel()
	module := withDebug(parsePlugin(t, "dwarf4"), func(_ string, c []byte) []byte {
		return bytes.ReplaceAll(c, []byte("parse.c"), []byte("a\n\x1b[1m\t"))
	})
	got := endOf(t, load(t, pluginOf(t, module)), "divide", flow.Limits{})
	if want := "the guest trapped: integer divide by zero in divide (a??[1m?:30);"; !strings.HasPrefix(got, want) {
		t.Errorf("%s, want %s", got, want)
	}
}
