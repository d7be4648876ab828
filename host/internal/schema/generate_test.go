package schema

import (
	"bytes"
	"encoding/json"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/invopop/jsonschema"
	validator "github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/uniflow-dev/uniflow/host/flow"
)

var update = flag.Bool("update", false, "write the schemas anew")

// flowPath is where the types stand; comments and constants are read from its source.
const flowPath = "github.com/uniflow-dev/uniflow/host/flow"

// answers are the Go types of all --json answers, by the name of their schema.
func answers() map[string]any {
	return map[string]any{
		"apply":           flow.ApplyReport{},
		"artifacts":       []flow.ArtifactFile{},
		"backup":          flow.BackupReport{},
		"backfill":        flow.BackfillReport{},
		"build":           flow.BuildReport{},
		"check":           flow.CheckReport{},
		"clocks":          []flow.ClockChange{},
		"cleared":         flow.Cleared{},
		"deployments":     []flow.Deployment{},
		"doctor":          flow.DoctorReport{},
		"error":           flow.ErrorReport{},
		"explanation":     flow.Explanation{},
		"explanations":    []flow.Explanation{},
		"files":           []string{},
		"alert-test":      flow.AlertTest{},
		"alerts":          []flow.AlertInfo{},
		"health":          flow.HostHealth{},
		"logs":            []flow.LogLine{},
		"matching":        flow.MatchReport{},
		"next":            []time.Time{},
		"outputs":         map[string]map[string]json.RawMessage{},
		"pipeline":        flow.PipelineInfo{},
		"pipelines":       []flow.PipelineInfo{},
		"plan":            flow.PlanReport{},
		"plugin":          flow.PluginInfo{},
		"plugin-added":    flow.PluginAdded{},
		"plugin-event":    flow.PluginEvent{},
		"plugin-run":      flow.PluginRun{},
		"plugin-tests":    flow.PluginTests{},
		"restore":         flow.RestoreReport{},
		"run":             flow.RunReport{},
		"run-record":      flow.RunRecord{},
		"runs":            []flow.RunRecord{},
		"saved":           flow.VersionRecord{},
		"schedule":        flow.ScheduleInfo{},
		"schedule-health": []flow.ScheduleHealth{},
		"schedules":       []flow.ScheduleInfo{},
		"service-files":   []flow.ServiceFile{},
		"simulate":        flow.SimulateReport{},
		"slots":           []flow.SlotRecord{},
		"story":           flow.SlotStory{},
		"top":             flow.TopReport{},
		"token":           flow.NewToken{},
		"tokens":          []flow.Token{},
		"audit":           []flow.AuditEntry{},
		"version":         flow.VersionInfo{},
		"versions":        []flow.VersionRecord{},
		"state":           map[string]json.RawMessage{},
	}
}

// title names a schema for editors and readers.
func title(name string) string {
	if name == Manifest {
		return "Uniflow manifest"
	}
	return "Uniflow answer: " + name
}

// It comes before the tests that run in parallel, so that these see what -update wrote.
func TestSchemasAreThoseOfTheTypes(t *testing.T) {
	source := readSource(t)
	made := map[string][]byte{Manifest: encode(t, Manifest, source.manifest())}
	for name, value := range answers() {
		made[name] = encode(t, name, source.answer(value))
	}
	files := map[string][]byte{filepath.Join("..", "..", "..", "uniflow.schema.json"): made[Manifest]} // the root manifest names it
	for name, content := range made {
		files[filepath.Join("generated", name+".json")] = content
	}
	for file, want := range files {
		if *update {
			if err := os.WriteFile(file, want, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not what the types say (%v); run: go test ./host/internal/schema -update", file, err)
		}
	}
	if *update {
		return
	}
	if got := Names(); len(got) != len(made) {
		t.Errorf("%d schemas are embedded, %d are made: %v", len(got), len(made), got)
	}
}

func TestSchemasCompile(t *testing.T) {
	t.Parallel()
	for _, name := range Names() {
		compile(t, name)
	}
}

func TestManifestSchemaJudges(t *testing.T) {
	t.Parallel()
	s := compile(t, Manifest)
	for name, c := range map[string]struct {
		doc string
		ok  bool
	}{
		"smallest":        {`{"version":1}`, true},
		"no version":      {`{}`, false},
		"later version":   {`{"version":2}`, false},
		"unknown key":     {`{"version":1,"pipeline":{}}`, false},
		"pipeline":        {`{"version":1,"pipelines":{"hello":{"wasm":"a.wasm","schedule":"every 10m","context":{"a":[1,{"b":null}]}}}}`, true},
		"bad name":        {`{"version":1,"pipelines":{"Hello":{"wasm":"a.wasm"}}}`, false},
		"duration":        {`{"version":1,"defaults":{"timeout":{"step":"1h30m","run":"2d"}}}`, true},
		"duration number": {`{"version":1,"defaults":{"timeout":{"step":60}}}`, false},
		"size":            {`{"version":1,"defaults":{"limits":{"memory":"64MiB"}}}`, true},
		"size unit":       {`{"version":1,"defaults":{"limits":{"memory":"64MB"}}}`, false},
		"backoff":         {`{"version":1,"defaults":{"retry":{"attempts":3,"backoff":"1s..1m"}}}`, true},
		"overlap word":    {`{"version":1,"defaults":{"overlap":"queue"}}`, false},
		"catchup word":    {`{"version":1,"defaults":{"catchup":{"runs":"some"}}}`, false},
		"url":             {`{"version":1,"alerts":{"ops":{"url":"slack://x"}}}`, true},
		"url by secret":   {`{"version":1,"alerts":{"ops":{"url":{"secret":"URL"}}}}`, true},
		"url otherwise":   {`{"version":1,"alerts":{"ops":{"url":{"token":"URL"}}}}`, false},
		"schedule":        {`{"version":1,"schedules":{"evening":{"pipeline":"hello"}}}`, false},
	} {
		value, err := validator.UnmarshalJSON(strings.NewReader(c.doc))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Validate(value); (err == nil) != c.ok {
			t.Errorf("%s: valid %v, want %v: %v", name, err == nil, c.ok, err)
		}
	}
}

func TestUnknownSchemaNamesTheOthers(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"nothing", "", "../schema", "manifest.json"} {
		if _, err := Of(name); flow.CodeOf(err) != flow.CodeNotFound {
			t.Errorf("Of(%q): got %v, want code %s", name, err, flow.CodeNotFound)
		}
	}
}

func compile(t *testing.T, name string) *validator.Schema {
	t.Helper()
	doc, err := os.ReadFile(filepath.Join("generated", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	value, err := validator.UnmarshalJSON(bytes.NewReader(doc))
	if err != nil {
		t.Fatalf("schema %s: %v", name, err)
	}
	c := validator.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource(name, value); err != nil {
		t.Fatalf("schema %s: %v", name, err)
	}
	s, err := c.Compile(name)
	if err != nil {
		t.Fatalf("schema %s: %v", name, err)
	}
	return s
}

func encode(t *testing.T, name string, s *jsonschema.Schema) []byte {
	t.Helper()
	s.Title = title(name)
	raw, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := json.Indent(&b, raw, "", "  "); err != nil {
		t.Fatal(err)
	}
	b.WriteByte('\n')
	return b.Bytes()
}

// source is what reflection cannot see of package flow: the words of its string types, and its comments.
type source struct {
	words    map[string][]any
	comments map[string]string
}

// readSource parses package flow.
func readSource(t *testing.T) *source {
	t.Helper()
	s := &source{words: map[string][]any{}, comments: map[string]string{}}
	files, err := filepath.Glob(filepath.Join("..", "..", "flow", "*.go"))
	if err != nil || len(files) < 5 {
		t.Fatalf("package flow is not where it was: %v, %v", files, err)
	}
	for _, file := range files {
		tree, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range tree.Decls {
			if d, ok := decl.(*ast.GenDecl); ok {
				s.read(d)
			}
		}
	}
	delete(s.words, "Code") // codes come and go with versions
	return s
}

func (s *source) read(d *ast.GenDecl) {
	for _, spec := range d.Specs {
		switch spec := spec.(type) {
		case *ast.ValueSpec:
			typ, ok := spec.Type.(*ast.Ident)
			if !ok || len(spec.Values) != 1 {
				continue
			}
			if lit, ok := spec.Values[0].(*ast.BasicLit); ok && lit.Kind == token.STRING {
				if word, err := strconv.Unquote(lit.Value); err == nil {
					s.words[typ.Name] = append(s.words[typ.Name], word)
				}
			}
		case *ast.TypeSpec:
			if fields, ok := spec.Type.(*ast.StructType); ok {
				s.readFields(spec.Name.Name, fields)
			}
		}
	}
}

func (s *source) readFields(typ string, fields *ast.StructType) {
	for _, f := range fields.Fields.List {
		for _, name := range f.Names {
			if text := f.Doc.Text(); text != "" {
				s.comments[typ+"."+name.Name] = strings.TrimSpace(strings.ReplaceAll(text, "\n", " "))
			}
		}
	}
}

// comment describes a field; types are named well enough.
func (s *source) comment(t reflect.Type, field string) string {
	if field == "" || t.PkgPath() != flowPath {
		return ""
	}
	return s.comments[t.Name()+"."+field]
}

// answer reflects a type by its JSON form.
func (s *source) answer(value any) *jsonschema.Schema {
	r := &jsonschema.Reflector{Anonymous: true, Mapper: s.textType, LookupComment: s.comment}
	return r.Reflect(value)
}

// textType holds the types whose JSON form is not that of their Go kind.
func (s *source) textType(t reflect.Type) *jsonschema.Schema {
	if words := s.words[t.Name()]; t.PkgPath() == flowPath && t.Kind() == reflect.String && len(words) > 0 {
		return &jsonschema.Schema{Type: "string", Enum: words}
	}
	switch t {
	case reflect.TypeFor[json.RawMessage]():
		return &jsonschema.Schema{}
	case reflect.TypeFor[flow.Duration]():
		return &jsonschema.Schema{Type: "string", Pattern: duration, Examples: []any{"90s", "1h30m", "2d"}}
	case reflect.TypeFor[flow.Size]():
		return &jsonschema.Schema{Type: "string", Pattern: `^[0-9]+(B|KiB|MiB|GiB)$`, Examples: []any{"64MiB"}}
	case reflect.TypeFor[flow.Backoff]():
		one := strings.TrimSuffix(strings.TrimPrefix(duration, "^"), "$")
		return &jsonschema.Schema{Type: "string", Pattern: "^" + one + `(\.\.` + one + ")?$", Examples: []any{"1s..1m"}}
	case reflect.TypeFor[flow.Digest]():
		return &jsonschema.Schema{Type: "string", Pattern: "^sha256:[0-9a-f]{64}$"}
	case reflect.TypeFor[flow.RunID]():
		return &jsonschema.Schema{Type: "string", Pattern: "^[0-9A-HJKMNP-TV-Z]{26}$"}
	case reflect.TypeFor[flow.Code]():
		return &jsonschema.Schema{Type: "string", Pattern: "^UF[0-9]{4}$"}
	case reflect.TypeFor[flow.LogLevel]():
		return &jsonschema.Schema{Type: "integer", Minimum: "0", Maximum: "4", Description: "0 trace, 1 debug, 2 info, 3 warn, 4 error"}
	}
	return nil
}

// duration is the text of a flow.Duration.
const duration = `^([0-9]+d)?(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h))*$`

// manifest reflects flow.Manifest by its TOML form.
func (s *source) manifest() *jsonschema.Schema {
	r := &jsonschema.Reflector{
		Anonymous: true, ExpandedStruct: true, FieldNameTag: "toml", RequiredFromJSONSchemaTags: true,
		LookupComment: s.comment, Mapper: s.manifestType,
	}
	m := r.ReflectFromType(reflect.TypeFor[flow.Manifest]())
	m.Required = []string{"version"}
	set(m, "version", func(p *jsonschema.Schema) { p.Const = 1 })
	for name, keys := range map[string][]string{"Alert": {"url"}, "Param": {"type"}, "Schedule": {"pipeline", "at"}, "Tenant": {"manifest"}} {
		m.Definitions[name].Required = keys
	}
	for place, words := range map[[2]string][]any{
		{"Catchup", "runs"}: {"none", "latest", "all"},
		{"Param", "type"}:   {"string", "integer", "number", "boolean", "list", "object"},
		{"Step", "stdout"}:  {"json", "text", "log"},
	} {
		set(m.Definitions[place[0]], place[1], func(p *jsonschema.Schema) { p.Enum = words })
	}
	set(m.Definitions["Alert"], "on", func(p *jsonschema.Schema) { p.Items.Enum = words(flow.AlertWords()) })
	set(m.Definitions["Plugin"], "build", func(p *jsonschema.Schema) { p.MinItems = new(uint64(1)) })
	for _, table := range []string{"alerts", "plugins", "pipelines", "schedules", "tenants"} {
		set(m, table, func(p *jsonschema.Schema) { p.PropertyNames = named("^[a-z][a-z0-9_-]{0,63}$") })
	}
	set(m.Definitions["Pipeline"], "steps", func(p *jsonschema.Schema) { p.PropertyNames = named("^[a-z][a-z0-9_]{0,63}$") })
	return m
}

func words(list []string) []any {
	all := make([]any, len(list))
	for i, w := range list {
		all[i] = w
	}
	return all
}

func named(pattern string) *jsonschema.Schema { return &jsonschema.Schema{Pattern: pattern} }

func (s *source) manifestType(t reflect.Type) *jsonschema.Schema {
	if t != reflect.TypeFor[flow.SecretText]() {
		return s.textType(t)
	}
	byName := jsonschema.NewProperties()
	byName.Set("secret", &jsonschema.Schema{Type: "string"})
	return &jsonschema.Schema{OneOf: []*jsonschema.Schema{
		{Type: "string"},
		{Type: "object", Properties: byName, Required: []string{"secret"}, AdditionalProperties: jsonschema.FalseSchema},
	}}
}

// set changes a property that must be there.
func set(s *jsonschema.Schema, name string, change func(*jsonschema.Schema)) {
	p, ok := s.Properties.Get(name)
	if !ok {
		panic("no property " + name)
	}
	change(p)
}
