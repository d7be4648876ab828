package project_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/project"
)

// described is the module with a descriptor in its first section.
func described(module, descriptor string) string {
	name := "uniflow.plugin"
	content := string(rune(len(name))) + name + descriptor
	section := "\x00" + string(binary.AppendUvarint(nil, uint64(len(content)))) + content
	return module[:8] + section + module[8:]
}

// What a module says of its outputs decides whether an expression over them can be right.
func TestDescribedOutputsAreChecked(t *testing.T) {
	t.Parallel()
	for condition, want := range map[string]flow.Code{
		"steps.a.count > 0":    "",
		"steps.a.count == 'x'": flow.CodeExprType,
	} {
		path := folder(t, map[string]string{
			"echo.wasm": described(module(t), `{"name":"echo","functions":{"uniflow_run":{"outputs":{"properties":{"count":{"type":"integer"}}}}}}`),
			"uniflow.toml": fmt.Sprintf(`version = 1
[pipelines.p.steps.a]
wasm = "echo.wasm"
[pipelines.p.steps.b]
wasm = "echo.wasm"
when = %q
`, condition),
		})
		_, err := project.Load(t.Context(), path, project.Options{})
		problems, _ := errors.AsType[flow.Problems](err)
		var codes []string
		for _, p := range problems.Errors() {
			codes = append(codes, string(p.Code))
		}
		if got := strings.Join(codes, " "); got != string(want) {
			t.Errorf("%s: %q, want %q: %v", condition, got, want, err)
		}
	}
}
