package tool

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// update writes what came into the case's file, and reports the case as one that passes. All outside of the [expect]
// tables stays as it is; comments within them go.
func (c *pluginTestCase) update(r *caseResult) error {
	for _, d := range r.Differences {
		if d.What == "http" || strings.HasPrefix(d.What, "http.") {
			return nil // what is asked for is no expectation that could be taken over
		}
	}
	text := replaceExpect(string(c.source), c.expectText(r))
	if err := os.WriteFile(c.path, []byte(text), 0o644); err != nil {
		return &flow.Error{Code: flow.CodeInput, Op: "write " + c.path, Message: "the case cannot be written", Hint: "check its permissions", Err: err}
	}
	r.OK, r.Updated, r.Differences = true, true, nil
	return nil
}

// expectHeader begins a table of expectations, anyHeader any table.
var (
	expectHeader = regexp.MustCompile(`^\s*\[\s*expect\s*(\.[^\]]*)?\]`)
	anyHeader    = regexp.MustCompile(`^\s*\[[\w."' -]+\]\s*(#.*)?$`)
)

// replaceExpect puts a text in the place of the first [expect] table and drops the others; without one it goes to the end.
func replaceExpect(source, expect string) string {
	var before, after strings.Builder
	out, within, quote := &before, false, ""
	for line := range strings.Lines(source) {
		if quote == "" && anyHeader.MatchString(strings.TrimRight(line, "\r\n")) {
			if within = expectHeader.MatchString(line); within {
				out = &after
			}
		}
		quote = openQuote(line, quote)
		if !within {
			out.WriteString(line)
		}
	}
	head, tail := strings.TrimRight(before.String(), "\n"), strings.TrimLeft(after.String(), "\n")
	if head != "" {
		head += "\n\n"
	}
	if tail != "" {
		tail = "\n" + tail
	}
	return head + expect + tail
}

// openQuote tells which triple quote is open behind a line, if any.
func openQuote(line, open string) string {
	for {
		if open != "" {
			_, rest, found := strings.Cut(line, open)
			if !found {
				return open
			}
			line = rest
		}
		basic, literal := strings.Index(line, `"""`), strings.Index(line, `'''`)
		switch {
		case basic < 0 && literal < 0:
			return ""
		case literal < 0 || basic >= 0 && basic < literal:
			line, open = line[basic+3:], `"""`
		default:
			line, open = line[literal+3:], `'''`
		}
	}
}

// expectText is what came, as the [expect] tables of a case. What an earlier text did not compare and nobody needs is
// left out: an empty list of logs, the state of a plugin that has none, fuel.
func (c *pluginTestCase) expectText(r *caseResult) string {
	var b strings.Builder
	old := &c.file.Expect
	b.WriteString("[expect]\n")
	line := func(key string, v any) { fmt.Fprintf(&b, "%s = %s\n", key, tomlText(v)) }
	line("kind", r.kind)
	if r.output.Code != "" || old.Code != nil {
		line("code", r.output.Code)
	}
	if r.Message != "" || old.Message != nil {
		line("message", r.Message)
	}
	if r.output.RetryAfter > 0 {
		line("retry_after", r.output.RetryAfter.String())
	}
	if r.output.ExitCode != nil {
		fmt.Fprintf(&b, "exit_code = %d\n", *r.output.ExitCode)
	}
	if old.Fuel != nil {
		fmt.Fprintf(&b, "fuel = %d\n", r.Usage.Fuel)
	}
	if logs := logTexts(r); len(logs) > 0 || old.Logs != nil {
		writeList(&b, "logs", logs)
	}
	if requests := requestTexts(r); len(requests) > 0 || old.Requests != nil {
		writeList(&b, "requests", requests)
	}
	if len(r.output.Events) > 0 || old.Events != nil {
		if text, ok := tomlValue(decoded(eventsOf(r.output))); ok {
			fmt.Fprintf(&b, "events = %s\n", text)
		}
	}
	outputs := r.kind == "ok" || r.kind == "skip" && (len(r.Outputs) > 0 || c.outputs != nil)
	state := len(r.output.State) > 0 || c.state != nil
	tables := ""
	if outputs {
		tables += objectText(&b, "outputs", objectJSON(r.Outputs))
	}
	if state {
		tables += objectText(&b, "state", objectJSON(r.output.State))
	}
	return b.String() + tables + c.artifactsText(r)
}

func writeList(b *strings.Builder, key string, list []string) {
	fmt.Fprintf(b, "%s = [", key)
	for _, item := range list {
		fmt.Fprintf(b, "\n  %s,", tomlText(item))
	}
	if len(list) > 0 {
		b.WriteString("\n")
	}
	b.WriteString("]\n")
}

// objectText is an object as a table of its own. One that TOML cannot hold is written to b as a text of JSON.
func objectText(b *strings.Builder, name string, object json.RawMessage) string {
	var table map[string]json.RawMessage
	if json.Unmarshal(object, &table) != nil {
		return ""
	}
	var out strings.Builder
	fmt.Fprintf(&out, "\n[expect.%s]\n", name)
	for _, key := range slices.Sorted(maps.Keys(table)) {
		text, ok := tomlValue(decoded(table[key]))
		if !ok {
			doc := indentedJSON(object)
			if strings.Contains(doc, "'''") {
				fmt.Fprintf(b, "%s = %s\n", name, tomlText(doc))
			} else {
				fmt.Fprintf(b, "%s = '''\n%s'''\n", name, doc)
			}
			return ""
		}
		fmt.Fprintf(&out, "%s = %s\n", tomlKey(key), text)
	}
	return out.String()
}

// maxArtifactText bounds artifacts that an update writes into a case that did not name them.
const maxArtifactText = 4 << 10

func (c *pluginTestCase) artifactsText(r *caseResult) string {
	var out strings.Builder
	for _, name := range slices.Sorted(maps.Keys(r.Outputs)) {
		content, err := r.output.Artifact(name)
		_, named := c.file.Expect.Artifacts[name]
		if err != nil || !utf8.Valid(content) || len(content) > maxArtifactText && !named {
			continue
		}
		if out.Len() == 0 {
			out.WriteString("\n[expect.artifacts]\n")
		}
		fmt.Fprintf(&out, "%s = %s\n", tomlKey(name), tomlText(string(content)))
	}
	return out.String()
}

var bareKey = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

func tomlKey(key string) string {
	if bareKey.MatchString(key) {
		return key
	}
	return tomlText(key)
}

// tomlText is a value as a basic string of TOML: that of JSON, with the one control character that JSON leaves as it is.
func tomlText(v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return `""`
	}
	return strings.ReplaceAll(strings.TrimSuffix(b.String(), "\n"), "\x7f", `\u007f`)
}

// tomlValue is a JSON value on one line of TOML, and whether TOML can hold it: it has no null.
func tomlValue(v any) (string, bool) {
	switch x := v.(type) {
	case nil:
		return "", false
	case bool:
		return strconv.FormatBool(x), true
	case string:
		return tomlText(x), true
	case json.Number:
		_, errInt := strconv.ParseInt(string(x), 10, 64)
		_, errFloat := strconv.ParseFloat(string(x), 64)
		whole := !strings.ContainsAny(string(x), ".eE")
		return string(x), errInt == nil || !whole && errFloat == nil
	case []any:
		var items []string
		for _, item := range x {
			text, ok := tomlValue(item)
			if !ok {
				return "", false
			}
			items = append(items, text)
		}
		return "[" + strings.Join(items, ", ") + "]", true
	case map[string]any:
		var items []string
		for _, key := range slices.Sorted(maps.Keys(x)) {
			text, ok := tomlValue(x[key])
			if !ok {
				return "", false
			}
			items = append(items, tomlKey(key)+" = "+text)
		}
		if len(items) == 0 {
			return "{}", true
		}
		return "{ " + strings.Join(items, ", ") + " }", true
	}
	return "", false
}
