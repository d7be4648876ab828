package tool

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// comparison collects differences.
type comparison struct{ found []flow.Difference }

func (c *comparison) differ(what, want, got string) {
	d := flow.Difference{What: what, Want: want, Got: got}
	if strings.Contains(want, "\n") || strings.Contains(got, "\n") {
		d.Lines = diffLines(want, got)
	}
	c.found = append(c.found, d)
}

func (c *comparison) text(what, want, got string) {
	if want != got {
		c.differ(what, want, got)
	}
}

// json compares two values as JSON.
func (c *comparison) json(what string, want, got json.RawMessage) {
	if !sameJSON(want, got) {
		c.differ(what, indentedJSON(want), indentedJSON(got))
	}
}

func (c *comparison) list(what string, want, got []string) {
	if !slices.Equal(want, got) {
		c.differ(what, strings.Join(want, "\n")+"\n", strings.Join(got, "\n")+"\n")
	}
}

// compare lists what came otherwise than the case expects.
func (c *pluginTestCase) compare(r *caseResult) []flow.Difference {
	var d comparison
	want := &c.file.Expect
	if kind := c.kind(); kind != r.kind {
		got := r.kind
		if r.Message != "" {
			got += ": " + r.Message
		}
		d.differ("kind", kind, got)
		return append(append(d.found, unanswered(r)...), c.unasked(r)...) // outputs and reasons are those of another ending
	}
	if want.Code != nil {
		d.text("code", *want.Code, r.output.Code)
	}
	if want.Message != nil {
		d.text("message", *want.Message, r.Message)
	}
	if want.RetryAfter != 0 {
		d.text("retry_after", want.RetryAfter.String(), r.output.RetryAfter.String())
	}
	if want.ExitCode != nil {
		d.text("exit_code", strconv.Itoa(*want.ExitCode), exitText(r.output.ExitCode))
	}
	if want.Fuel != nil {
		d.text("fuel", strconv.FormatInt(*want.Fuel, 10), strconv.FormatInt(r.Usage.Fuel, 10))
	}
	if want.Logs != nil {
		d.list("logs", want.Logs, logTexts(r))
	}
	if want.Requests != nil {
		d.list("requests", want.Requests, requestTexts(r))
	}
	if c.outputs != nil {
		d.json("outputs", c.outputs, objectJSON(r.Outputs))
	}
	if c.state != nil {
		d.json("state", c.state, objectJSON(r.output.State))
	}
	if want.Events != nil {
		d.json("events", want.Events, eventsOf(r.output))
	}
	c.compareArtifacts(&d, r)
	return append(append(d.found, unanswered(r)...), c.unasked(r)...)
}

func (c *pluginTestCase) compareArtifacts(d *comparison, r *caseResult) {
	for _, name := range slices.Sorted(maps.Keys(c.file.Expect.Artifacts)) {
		what := "artifacts." + name
		content, err := r.output.Artifact(name)
		if err != nil {
			d.differ(what, c.file.Expect.Artifacts[name], err.Error())
			continue
		}
		d.text(what, c.file.Expect.Artifacts[name], string(content))
	}
}

// unanswered are requests that the case has no reply to.
func unanswered(r *caseResult) []flow.Difference {
	var found []flow.Difference
	for _, asked := range r.output.Requests {
		if asked.Reply == "" {
			found = append(found, flow.Difference{What: "http", Want: "no request without a reply", Got: asked.Method + " " + asked.URL})
		}
	}
	return found
}

// unasked are replies that no request asked for.
func (c *pluginTestCase) unasked(r *caseResult) []flow.Difference {
	asked := map[string]bool{}
	for _, request := range r.output.Requests {
		asked[request.Reply] = true
	}
	var found []flow.Difference
	for _, reply := range c.input.HTTP {
		if !asked[reply.Name] {
			found = append(found, flow.Difference{What: "http." + reply.Name, Want: "a request for it", Got: "none"})
		}
	}
	return found
}

func logTexts(r *caseResult) []string {
	lines := []string{}
	for i := range r.Logs {
		lines = append(lines, logText(&r.Logs[i]))
	}
	return lines
}

func requestTexts(r *caseResult) []string {
	lines := []string{}
	for _, asked := range r.output.Requests {
		lines = append(lines, asked.Method+" "+asked.URL)
	}
	return lines
}

func exitText(code *int) string {
	if code == nil {
		return "none"
	}
	return strconv.Itoa(*code)
}

// objectJSON is an object of values that are JSON.
func objectJSON(values map[string]json.RawMessage) json.RawMessage {
	if values == nil {
		return json.RawMessage("{}")
	}
	doc, err := json.Marshal(values)
	if err != nil {
		return json.RawMessage("{}") // cannot be: the values were read as JSON
	}
	return doc
}

func decoded(doc json.RawMessage) any {
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return string(doc)
	}
	return v
}

// indentedJSON is JSON over several lines, keys in order.
func indentedJSON(doc json.RawMessage) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(decoded(doc)); err != nil {
		return string(doc)
	}
	return b.String()
}

// sameJSON reports whether two values mean the same: the order of keys and the form of numbers aside.
func sameJSON(a, b json.RawMessage) bool { return sameValue(decoded(a), decoded(b)) }

func sameValue(a, b any) bool {
	switch x := a.(type) {
	case map[string]any:
		y, ok := b.(map[string]any)
		return ok && maps.EqualFunc(x, y, sameValue)
	case []any:
		y, ok := b.([]any)
		return ok && slices.EqualFunc(x, y, sameValue)
	case json.Number:
		y, ok := b.(json.Number)
		return ok && sameNumber(string(x), string(y))
	}
	return a == b
}

func sameNumber(a, b string) bool {
	if a == b {
		return true
	}
	i, errI := strconv.ParseInt(a, 10, 64)
	j, errJ := strconv.ParseInt(b, 10, 64)
	if errI == nil && errJ == nil {
		return i == j
	}
	x, errX := strconv.ParseFloat(a, 64)
	y, errY := strconv.ParseFloat(b, 64)
	return errX == nil && errY == nil && x == y
}

const (
	diffContext = 2    // lines that are shown around a difference
	maxDiff     = 2000 // lines of a text that is compared line by line
	maxShown    = 60   // lines of a difference
)

// diffLines is the difference of two texts, line by line.
func diffLines(want, got string) []string {
	a, b := textLines(want), textLines(got)
	if len(a) > maxDiff || len(b) > maxDiff {
		return []string{fmt.Sprintf("- %d lines", len(a)), fmt.Sprintf("+ %d lines", len(b))}
	}
	all := edits(a, b)
	near := make([]bool, len(all))
	for i, line := range all {
		if line[0] == ' ' {
			continue
		}
		for j := max(0, i-diffContext); j <= min(len(all)-1, i+diffContext); j++ {
			near[j] = true
		}
	}
	var out []string
	for i, line := range all {
		switch {
		case len(out) == maxShown:
			return append(out, "…")
		case near[i]:
			out = append(out, line)
		case i > 0 && near[i-1]:
			out = append(out, "…")
		}
	}
	return out
}

func textLines(text string) []string {
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
}

// edits lists the lines of both texts, marked by where they stand, by their longest common subsequence.
func edits(a, b []string) []string {
	common := make([][]int, len(a)+1)
	for i := range common {
		common[i] = make([]int, len(b)+1)
	}
	for i, v := range slices.Backward(a) {
		for j := len(b) - 1; j >= 0; j-- {
			common[i][j] = max(common[i+1][j], common[i][j+1])
			if v == b[j] {
				common[i][j] = common[i+1][j+1] + 1
			}
		}
	}
	var out []string
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			out = append(out, "  "+a[i])
			i, j = i+1, j+1
		case i < len(a) && (j == len(b) || common[i+1][j] >= common[i][j+1]):
			out = append(out, "- "+a[i])
			i++
		default:
			out = append(out, "+ "+b[j])
			j++
		}
	}
	return out
}
