//go:build languages

// Package programs_test compiles programs that nobody here wrote and runs them as steps, unchanged.
package programs_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host"
	"github.com/uniflow-dev/uniflow/host/flow"
)

// TestProgramsOfOthersAreSteps compares the whole of what each program printed.
func TestProgramsOfOthersAreSteps(t *testing.T) {
	t.Parallel()
	begin := time.Now()
	h, err := host.Open(t.Context(), host.Config{Manifest: "uniflow.toml", Data: t.TempDir(), Build: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Logf("built and loaded in %s", time.Since(begin))
	for name, c := range map[string]struct {
		context map[string]any
		rows    string
		text    string
		worth   string
	}{
		"the inventory of the manifest": {
			nil,
			`[{"name":"bolt","count":40,"price":0.25},{"name":"nut, wing","count":12,"price":0.5},{"name":"crane","count":1,"price":20000}]`,
			"40,0.25,\"bolt\"\n12,0.5,\"nut, wing\"\n", "52 pieces, 16.00\n",
		},
		"another one": {
			map[string]any{"least": 0, "inventory": "- &x {name: é, count: 3, price: 1.10}\n- *x\n"},
			`[{"name":"é","count":3,"price":1.10},{"name":"é","count":3,"price":1.10}]`,
			"3,1.10,\"é\"\n3,1.10,\"é\"\n", "6 pieces, 6.60\n",
		},
	} {
		begin := time.Now()
		result, err := h.RunNow(t.Context(), "programs", c.context)
		if err != nil || !result.Success {
			t.Errorf("%s: got %+v, %v", name, result, err)
			continue
		}
		t.Logf("%s: %s", name, time.Since(begin))
		checkOutput(t, result.Steps, "parse", "result", c.rows)
		checkOutput(t, result.Steps, "filter", "stdout", quoted(c.text))
		checkOutput(t, result.Steps, "worth", "stdout", quoted(c.worth))
	}
}

func quoted(s string) string {
	doc, _ := json.Marshal(s) // a text is always JSON
	return string(doc)
}

// checkOutput compares an output as JSON, without its white space.
func checkOutput(t *testing.T, steps []flow.StepRecord, step, name, want string) {
	t.Helper()
	for i := range steps {
		if steps[i].Name != step {
			continue
		}
		var got, expected any
		if err := json.Unmarshal(steps[i].Outputs[name], &got); err != nil {
			t.Errorf("%s: %v of %v", step, err, steps[i].Outputs)
			return
		}
		if err := json.Unmarshal([]byte(want), &expected); err != nil {
			t.Fatal(err)
		}
		if quotedValue(got) != quotedValue(expected) {
			t.Errorf("%s: got %s, want %s", step, steps[i].Outputs[name], want)
		}
		t.Logf("%s: %s, %d bytes", step, steps[i].EndedAt.Sub(*steps[i].StartedAt), len(steps[i].Outputs[name]))
		return
	}
	t.Errorf("no step %s", step)
}

func quotedValue(v any) string {
	doc, _ := json.Marshal(v) // it was read from JSON
	return string(doc)
}
