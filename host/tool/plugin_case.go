package tool

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/hosttest"
	"github.com/uniflow-dev/uniflow/host/internal/manifest"
	"github.com/uniflow-dev/uniflow/sdk/abi"
)

// caseFile is what a file of testdata says: one call of a plugin and what is expected of it.
type caseFile struct {
	About    string          `toml:"about"`
	Plugin   string          `toml:"plugin"`
	Function string          `toml:"function"`
	At       json.RawMessage `toml:"at"`
	Seed     int64           `toml:"seed"`
	Attempt  int             `toml:"attempt"`
	Attempts int             `toml:"attempts"`
	Timeout  flow.Duration   `toml:"timeout"`
	Args     []string        `toml:"args"`
	Stdin    json.RawMessage `toml:"stdin"`
	Input    json.RawMessage `toml:"input"`
	Stdout   string          `toml:"stdout"`
	Context  json.RawMessage `toml:"context"`
	With     json.RawMessage `toml:"with"`
	Item     json.RawMessage `toml:"item"`
	Index    *int            `toml:"item_index"`
	State    json.RawMessage `toml:"state"`
	Grant    *flow.Grant     `toml:"grant"`
	Limits   flow.Limits     `toml:"limits"`

	Secrets   map[string]string       `toml:"secrets"`
	Artifacts map[string]caseArtifact `toml:"artifacts"`
	HTTP      map[string]caseReply    `toml:"http"`
	Expect    caseExpect              `toml:"expect"`
}

// caseArtifact is an artifact that values of with can name: "${artifacts.NAME}".
type caseArtifact struct {
	Type string `toml:"type"`
	Text string `toml:"text"`
	File string `toml:"file"`
}

// caseReply is an [http.NAME] table.
type caseReply struct {
	Method         string            `toml:"method"`
	URL            string            `toml:"url"`
	RequestHeaders map[string]string `toml:"request_headers"`
	RequestBody    *string           `toml:"request_body"`
	Status         int               `toml:"status"`
	Headers        map[string]string `toml:"headers"`
	Body           string            `toml:"body"`
	JSON           json.RawMessage   `toml:"json"`
	Error          string            `toml:"error"`
}

// caseExpect is the [expect] table. What it does not say is not compared, but for the kind.
type caseExpect struct {
	Kind       string            `toml:"kind"`
	Code       *string           `toml:"code"`
	Message    *string           `toml:"message"`
	RetryAfter flow.Duration     `toml:"retry_after"`
	ExitCode   *int              `toml:"exit_code"`
	Fuel       *int64            `toml:"fuel"`
	Logs       []string          `toml:"logs"`
	Requests   []string          `toml:"requests"`
	Outputs    json.RawMessage   `toml:"outputs"`
	State      json.RawMessage   `toml:"state"`
	Events     json.RawMessage   `toml:"events"`
	Artifacts  map[string]string `toml:"artifacts"`
}

// pluginTestCase is a case that can be run.
type pluginTestCase struct {
	name, path string
	source     []byte
	file       caseFile
	input      hosttest.Input
	outputs    json.RawMessage // expected, or nil
	state      json.RawMessage
}

const (
	maxCases    = 1000
	maxCaseFile = 8 << 20
)

// defaultAt is when cases begin that do not say so.
var defaultAt = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) //nolint:gochecknoglobals // constant

// readCases reads the cases of a folder, sorted by name.
func readCases(dir string) ([]*pluginTestCase, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.toml"))
	if err != nil {
		return nil, fmt.Errorf("look for cases: %w", err)
	}
	switch {
	case len(paths) == 0:
		return nil, &flow.Error{Code: flow.CodeInput, Op: "test the plugin", Message: "there is no case in " + dir, Hint: "write one: " + filepath.Join(dir, "first.toml") + ", then fill in what comes by uniflow plugin test --update"}
	case len(paths) > maxCases:
		return nil, &flow.Error{Code: flow.CodeInput, Op: "test the plugin", Message: fmt.Sprintf("%d cases in %s, at most %d", len(paths), dir, maxCases), Hint: "name the folder of some of them with --cases DIR"}
	}
	slices.Sort(paths)
	var all []*pluginTestCase
	var problems flow.Problems
	for _, path := range paths {
		c, found := readCase(path)
		problems = append(problems, found...)
		all = append(all, c)
	}
	if len(problems.Errors()) > 0 {
		return nil, problems
	}
	return all, nil
}

// readCase reads one case; its mistakes come all at once.
func readCase(path string) (*pluginTestCase, flow.Problems) {
	c := &pluginTestCase{name: strings.TrimSuffix(filepath.Base(path), ".toml"), path: path}
	info, err := os.Stat(path)
	if err == nil && info.Size() > maxCaseFile {
		err = fmt.Errorf("it has more than %s", flow.Size(maxCaseFile))
	}
	if err == nil {
		c.source, err = os.ReadFile(path)
	}
	if err != nil {
		return c, flow.Problems{{Code: flow.CodeInput, File: path, Message: "the case cannot be read: " + err.Error()}}
	}
	doc, problems := manifest.ParseAs(path, c.source, &c.file)
	if doc == nil {
		return c, problems
	}
	r := &caseReader{dir: filepath.Dir(path)}
	r.input(&c.file, &c.input)
	c.outputs = r.object(c.file.Expect.Outputs, "expect", "outputs")
	c.state = r.object(c.file.Expect.State, "expect", "state")
	r.word(c.file.Expect.Kind, "expect", "kind")
	return c, append(problems, doc.Locate(r.problems)...)
}

// caseReader turns the values of a case into those of a call.
type caseReader struct {
	dir      string
	problems flow.Problems
}

func (r *caseReader) mistake(message, help string, path ...string) {
	r.problems = append(r.problems, flow.Problem{Code: flow.CodeCase, Path: path, Message: message, Help: help})
}

func (r *caseReader) input(f *caseFile, in *hosttest.Input) {
	*in = hosttest.Input{
		Function: f.Function, At: defaultAt, Seed: uint64(f.Seed), Attempt: f.Attempt, MaxAttempts: f.Attempts, Timeout: f.Timeout.Std(),
		Args: f.Args, Stdin: f.Stdin, Stdout: f.Stdout, Item: f.Item, ItemIndex: f.Index, Secrets: f.Secrets,
	}
	if len(f.At) > 0 {
		var text string
		at, err := time.Time{}, json.Unmarshal(f.At, &text)
		if err == nil {
			at, err = time.Parse(time.RFC3339Nano, text)
		}
		if err != nil {
			r.mistake("at is not an instant", "write it like at = 2026-01-01T06:00:00Z", "at")
		}
		in.At = at
	}
	artifacts := r.artifacts(f.Artifacts)
	in.Context = r.values(r.object(f.Context, "context"), artifacts, "context")
	in.With = r.values(r.object(f.With, "with"), artifacts, "with")
	in.State = r.values(r.object(f.State, "state"), nil, "state")
	if len(f.Input) > 0 {
		if in.Stdin = f.Input; string(f.Input) == `"with"` {
			in.Stdin = json.RawMessage(cmp.Or(string(r.object(f.With, "with")), "{}"))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(f.HTTP)) {
		in.HTTP = append(in.HTTP, r.reply(name, f.HTTP[name]))
	}
}

// object returns a value that is a table, or a text that holds a JSON object, as JSON; nil for none.
func (r *caseReader) object(value json.RawMessage, path ...string) json.RawMessage {
	if len(value) == 0 {
		return nil
	}
	var text string
	if json.Unmarshal(value, &text) == nil {
		value = json.RawMessage(text)
	}
	var table map[string]json.RawMessage
	if json.Unmarshal(value, &table) != nil || table == nil {
		r.mistake(path[len(path)-1]+" is neither a table nor a text that holds a JSON object", `write it as a table, or as a text like '{"a": null}'`, path...)
		return nil
	}
	return value
}

func (r *caseReader) values(object json.RawMessage, artifacts map[string]hosttest.Artifact, path string) map[string]any {
	if object == nil {
		return nil
	}
	var table map[string]json.RawMessage
	if err := json.Unmarshal(object, &table); err != nil { // object has looked
		return nil
	}
	out := map[string]any{}
	for key, value := range table {
		out[key] = r.value(value, artifacts, path, key)
	}
	return out
}

// value is a value as it stands, or the artifact that it names.
func (r *caseReader) value(value json.RawMessage, artifacts map[string]hosttest.Artifact, path ...string) any {
	var text string
	if json.Unmarshal(value, &text) != nil {
		return value
	}
	name, ok := strings.CutPrefix(text, "${artifacts.")
	if !ok || artifacts == nil {
		return value
	}
	name = strings.TrimSuffix(name, "}")
	a, ok := artifacts[name]
	if !ok {
		r.mistake(fmt.Sprintf("there is no artifact %q", name), fmt.Sprintf("add [artifacts.%s] with a text or a file", name), path...)
		return value
	}
	return a
}

func (r *caseReader) artifacts(files map[string]caseArtifact) map[string]hosttest.Artifact {
	all := map[string]hosttest.Artifact{}
	for name, f := range files {
		a := hosttest.Artifact{Type: f.Type, Content: []byte(f.Text)}
		if f.File != "" {
			var err error
			if a.Content, err = os.ReadFile(filepath.Join(r.dir, filepath.FromSlash(f.File))); err != nil {
				r.mistake("the artifact's file cannot be read", "its path is relative to the case", "artifacts", name, "file")
			}
		}
		all[name] = a
	}
	return all
}

func (r *caseReader) reply(name string, f caseReply) hosttest.Reply {
	reply := hosttest.Reply{
		Name: name, Method: f.Method, URL: f.URL, RequestHeaders: f.RequestHeaders, Status: f.Status, Headers: f.Headers, Body: []byte(f.Body),
	}
	if f.URL == "" {
		r.mistake("a reply needs the URL that it answers", `add url = "https://…"`, "http", name)
	}
	if f.RequestBody != nil {
		reply.RequestBody = []byte(*f.RequestBody)
	}
	if len(f.JSON) > 0 {
		reply.Body = f.JSON
		if reply.Headers == nil {
			reply.Headers = map[string]string{"content-type": "application/json"}
		}
	}
	if f.Error != "" {
		errno, ok := abi.ErrnoByName(f.Error)
		if !ok || errno == abi.OK {
			r.mistake(fmt.Sprintf("no service refuses with %q", f.Error), "write one of denied, too_large, invalid, unavailable, cancelled, quota", "http", name, "error")
		}
		reply.Errno = errno
	}
	return reply
}

// verdictWords are the kinds of expect.kind that are the plugin's own word, by flow.Verdict.
func verdictWords() []string { return []string{"ok", "failed", "skip", "retry", "permanent"} }

// faultWords are those that are not: reasons of a sandbox that broke.
func faultWords() []string {
	var words []string
	for _, reason := range []flow.Reason{
		flow.ReasonTimeout, flow.ReasonTrap, flow.ReasonPanic, flow.ReasonMemory, flow.ReasonStack, flow.ReasonFuel,
		flow.ReasonOutputLimit, flow.ReasonOutput, flow.ReasonDenied, flow.ReasonInvalid, flow.ReasonCrashed,
	} {
		words = append(words, string(reason))
	}
	return words
}

func (r *caseReader) word(kind string, path ...string) {
	if words := append(verdictWords(), faultWords()...); kind != "" && !slices.Contains(words, kind) {
		help := "write one of " + strings.Join(words, ", ")
		if near := nearest(kind, words); near != "" {
			help = fmt.Sprintf("did you mean %q?", near)
		}
		r.mistake(fmt.Sprintf("kind %q is no way for a call to end", kind), help, path...)
	}
}

// kind is what the case expects.
func (c *pluginTestCase) kind() string { return cmp.Or(c.file.Expect.Kind, "ok") }

// nearest returns the word that was probably meant, or "".
func nearest(word string, words []string) string {
	if len(word) > 64 {
		return ""
	}
	best, found := max(1, len(word)/3)+1, ""
	for _, w := range words {
		if d := flow.EditDistance(word, w); d < best {
			best, found = d, w
		}
	}
	return found
}
