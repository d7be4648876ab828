//go:build languages

package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestLanguages begins, builds and tests a plugin in each language that is not Go, with the compilers and engines that
// .ci/languages.sh gets. What is missing fails: a skip would look like a pass.
func TestLanguages(t *testing.T) {
	t.Parallel()
	top, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "languages"),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("UNIFLOW_SERVER", "")
			e.Setenv("UNIFLOW_TOKEN", "")
			e.Setenv("XDG_CACHE_HOME", filepath.Join(e.WorkDir, ".cache"))
			e.Setenv("ENGINES", filepath.Join(top, "bin", "languages"))
			e.Setenv("PATH", languagesPath(top, e.Getenv("PATH")))
			for _, name := range []string{"HOME", "CARGO_HOME", "RUSTUP_HOME", "RUSTC"} { // compilers keep their own there
				if value, ok := os.LookupEnv(name); ok {
					e.Setenv(name, value)
				}
			}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "atmost": atMost},
	})
}

// languagesPath puts the compilers that .ci/languages.sh gets before others of their name, behind the programs of the test.
func languagesPath(top, path string) string {
	own, rest, _ := strings.Cut(path, string(filepath.ListSeparator))
	tools := os.Getenv("TOOLS")
	switch {
	case tools == "":
		tools = filepath.Join(top, "bin", "tools")
	case !filepath.IsAbs(tools):
		tools = filepath.Join(top, tools)
	}
	tools = filepath.Join(tools, "languages")
	return strings.Join([]string{own, filepath.Join(tools, "bin"), filepath.Join(tools, "zig", "ziglang"), "/usr/bin", rest}, string(filepath.ListSeparator))
}

// atMost bounds the size of a file: atmost BYTES FILE.
func atMost(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: atmost BYTES FILE")
	}
	most, err := strconv.ParseInt(args[0], 10, 64)
	ts.Check(err)
	info, err := os.Stat(ts.MkAbs(args[1]))
	ts.Check(err)
	if info.Size() > most {
		ts.Fatalf("%s has %d bytes, at most %d are wanted", args[1], info.Size(), most)
	}
}
