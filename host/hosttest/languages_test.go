//go:build languages

package hosttest_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/hosttest"
)

// languagesDir holds the conformance programs, which .ci/languages.sh builds: NAME.wasm for kits that compile to a module, and
// NAME.wasm of the engine beside NAME.script, a file that names the script, for languages that are interpreted.
const languagesDir = "../../bin/languages"

// TestKits runs the vectors against the conformance programs of all languages.
func TestKits(t *testing.T) {
	for _, name := range []string{"rust", "c", "cpp", "cpp-wasi", "assemblyscript", "zig", "nim", "python", "javascript"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			runKit(t, filepath.Join(languagesDir, name+".wasm"), kitConfig(t, name))
		})
	}
}

// kitConfig grants an engine its script.
func kitConfig(t *testing.T, name string) hosttest.Config {
	t.Helper()
	doc, err := os.ReadFile(filepath.Join(languagesDir, name+".script"))
	if err != nil {
		return hosttest.Config{}
	}
	script, err := filepath.Abs(filepath.Join("../..", strings.TrimSpace(string(doc))))
	if err != nil {
		t.Fatal(err)
	}
	inside := "/script/" + filepath.Base(script)
	return hosttest.Config{Grant: flow.Grant{Mount: map[string]string{inside: script}, Env: map[string]string{"UNIFLOW_SCRIPT": inside}}}
}
