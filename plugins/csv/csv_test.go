package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/uniflow-dev/uniflow/sdk"
	"github.com/uniflow-dev/uniflow/sdk/abi"
	"github.com/uniflow-dev/uniflow/sdk/sdktest"
)

const strikes = "\ufeffState,Species,Date,Cost,Night\n" +
	"Texas,Gull,1990-01-08,100,no\n" +
	"Ohio,\"Hawk, red\",1990-02-09,,yes\n" +
	"Texas,Gull,1991-03-01,50.5,no\n" +
	"Ohio,Gull,1991-03-02,7,yes\n"

// shelf is a host that keeps artifacts.
type shelf struct {
	stored map[string]string
	types  map[string]string
}

func (s *shelf) call(op string, request, body []byte) ([]byte, error) {
	var req struct {
		Artifact string `json:"$artifact"`
		Type     string `json:"type"`
		Offset   int    `json:"offset"`
		Length   int    `json:"length"`
	}
	if err := json.Unmarshal(request, &req); err != nil {
		return nil, err
	}
	switch op {
	case abi.OpArtifactPut:
		if s.stored == nil {
			s.stored, s.types = map[string]string{}, map[string]string{}
		}
		name := fmt.Sprintf("sha256:%d", len(s.stored))
		s.stored[name], s.types[name] = string(body), req.Type
		return json.Marshal(abi.ArtifactRef{Artifact: name, Size: int64(len(body)), Type: req.Type})
	case abi.OpArtifactGet:
		content, ok := s.stored[req.Artifact]
		if !ok {
			return nil, abi.NotFound
		}
		from := min(req.Offset, len(content))
		return []byte(content[from:min(from+req.Length, len(content))]), nil
	}
	return nil, abi.UnknownOp
}

func run(t *testing.T, step func(*uniflow.Context) error, with string, s *shelf) sdktest.Result {
	t.Helper()
	if s == nil {
		s = &shelf{}
	}
	result, err := sdktest.Run(step, sdktest.Input{With: json.RawMessage(with), Call: s.call})
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// withText is the inputs of read with a table.
func withText(table, more string) string {
	text, _ := json.Marshal(table) // a text is always JSON
	return `{"text":` + string(text) + more + `}`
}

func TestRead(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ table, more, want string }{
		"all text":      {"a,b\n1,x\n", ``, `[{"a":"1","b":"x"}]`},
		"typed":         {strikes, `,"types":{"Cost":"number","Night":"boolean"},"limit":2,"select":["Cost","Night"]`, `[{"Cost":100,"Night":false},{"Cost":null,"Night":true}]`},
		"renamed":       {strikes, `,"rename":{"Cost":"cost"},"types":{"cost":"number"},"where":[{"column":"cost","op":">","value":60}],"select":["cost"]`, `[{"cost":100}]`},
		"no header":     {"1,x\n2,y\n", `,"header":false,"types":{"c1":"integer"}`, `[{"c1":1,"c2":"x"},{"c1":2,"c2":"y"}]`},
		"given header":  {"1;x\n", `,"header":["n","s"],"delimiter":";"`, `[{"n":"1","s":"x"}]`},
		"all hold":      {strikes, `,"where":[{"column":"State","op":"==","value":"Ohio"},{"column":"Species","op":"starts","value":"Hawk"}],"select":["Species"]`, `[{"Species":"Hawk, red"}]`},
		"in":            {strikes, `,"where":[{"column":"State","op":"in","value":["Ohio","Iowa"]}],"select":["Date"]`, `[{"Date":"1990-02-09"},{"Date":"1991-03-02"}]`},
		"empty":         {strikes, `,"types":{"Cost":"number"},"where":[{"column":"Cost","op":"empty","value":true}],"select":["State"]`, `[{"State":"Ohio"}]`},
		"null is no !=": {strikes, `,"types":{"Cost":"number"},"where":[{"column":"Cost","op":"!=","value":100}],"select":["Cost"]`, `[{"Cost":50.5},{"Cost":7}]`},
		"sorted":        {strikes, `,"types":{"Cost":"number"},"sort":["State","-Cost"],"select":["State","Cost"]`, `[{"State":"Ohio","Cost":7},{"State":"Ohio","Cost":null},{"State":"Texas","Cost":100},{"State":"Texas","Cost":50.5}]`},
		"derived":       {strikes, `,"types":{"Date":"date"},"derive":{"y":{"from":"Date","part":"year"},"d":{"from":"Date","part":"weekday"}},"limit":1,"select":["y","d"]`, `[{"y":1990,"d":"Monday"}]`},
		"grouped": {
			strikes, `,"types":{"Cost":"number"},"group":{"by":["State"],"columns":{"n":{"count":"*"},"with_cost":{"count":"Cost"},"sum":{"sum":"Cost"},"mean":{"mean":"Cost"},"low":{"min":"Cost"},"last":{"max":"Date"}}},"sort":["-n","State"],"select":["State","n","with_cost","sum","mean","low","last"]`,
			`[{"State":"Ohio","n":2,"with_cost":1,"sum":7,"mean":7,"low":7,"last":"1991-03-02"},{"State":"Texas","n":2,"with_cost":2,"sum":150.5,"mean":75.25,"low":50.5,"last":"1991-03-01"}]`,
		},
		"one group":         {strikes, `,"types":{"Cost":"number"},"group":{"columns":{"sum":{"sum":"Cost"}}}`, `[{"sum":157.5}]`},
		"nothing to sum":    {"a\n\n", `,"types":{"a":"number"},"group":{"columns":{"s":{"sum":"a"}}}`, `[]`},
		"whole sums":        {"a\n9007199254740993\n2\n", `,"types":{"a":"integer"},"group":{"columns":{"s":{"sum":"a"}}}`, `[{"s":9007199254740995}]`},
		"careful sums":      {"a\n1e100\n1\n-1e100\n", `,"types":{"a":"number"},"group":{"columns":{"s":{"sum":"a"}}}`, `[{"s":1}]`},
		"keys do not mix":   {"a,b\nx,yz\nxy,z\n", `,"group":{"by":["a","b"],"columns":{"n":{"count":"*"}}},"select":["n"]`, `[{"n":1},{"n":1}]`},
		"bad cells dropped": {"a\n1\nx\n", `,"types":{"a":"integer"},"invalid":"drop"`, `[{"a":1}]`},
		"bad cells null":    {"a\n1\nx\n", `,"types":{"a":"integer"},"invalid":"null"`, `[{"a":1},{"a":null}]`},
		"signs":             {"a\n\"<é>\"\"\u2028\"\n", ``, `[{"a":"<é>\"\u2028"}]`},
		"no rows":           {"a,b\n", ``, `[]`},
	} {
		result := run(t, read, withText(c.table, c.more), nil)
		if got := string(result.Outputs["rows"]); got != c.want {
			t.Errorf("%s:\n got %s (%+v)\nwant %s", name, got, result.Verdict, c.want)
		}
	}
}

func TestMistakesArePermanentAndNamed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ with, says string }{
		"nothing":         {`{}`, "either from"},
		"both":            {`{"text":"a","from":"/a.csv"}`, "either from"},
		"typing error":    {`{"text":"a","delimeter":";"}`, `unknown field "delimeter"`},
		"relative path":   {`{"from":"a.csv"}`, "absolute path"},
		"no mount":        {`{"from":"/nowhere/a.csv"}`, "needs a mount"},
		"delimiter":       {`{"text":"a","delimiter":"ab"}`, "one character"},
		"quote":           {`{"text":"a","delimiter":"\""}`, "one character"},
		"type":            {`{"text":"a","types":{"a":"float"}}`, "none of string, number"},
		"typed nothing":   {`{"text":"a\n1","types":{"b":"number"}}`, `no column "b": there are a`},
		"bad cell":        {`{"text":"a,b\n1,2\n3,x\n","types":{"b":"integer"}}`, `line 3, character 3, column "b": "x" is no integer`},
		"short row":       {`{"text":"a,b\n1\n"}`, "line 2"},
		"bare quote":      {`{"text":"a\nx\"y\n"}`, "line 2"},
		"empty":           {`{"text":"\n"}`, "not even a header"},
		"twice":           {`{"text":"a,a\n"}`, `"a" stands twice`},
		"where":           {`{"text":"a\n","where":[{"column":"b","op":"==","value":1}]}`, `where: there is no column "b"`},
		"where type":      {`{"text":"a\n","where":[{"column":"a","op":"==","value":1}]}`, "not of the column's type, string"},
		"where op":        {`{"text":"a\n","where":[{"column":"a","op":"~","value":"1"}]}`, `op "~" is none of`},
		"sum of text":     {`{"text":"a\n","group":{"columns":{"s":{"sum":"a"}}}}`, "say so in types"},
		"two aggregates":  {`{"text":"a\n","group":{"columns":{"s":{"min":"a","max":"a"}}}}`, "a column of its own"},
		"sort":            {`{"text":"a\n","sort":["-b"]}`, `sort: there is no column "b"`},
		"select of group": {`{"text":"a\n","group":{"by":["a"]},"select":["b"]}`, `select: there is no column "b"`},
		"format":          {`{"text":"a\n","to":"x.parquet"}`, "names no format"},
	} {
		v := run(t, read, c.with, nil).Verdict
		if v.Kind != abi.KindPermanent || !strings.Contains(v.Message, c.says) {
			t.Errorf("%s: got %s %q, want permanent with %q", name, v.Kind, v.Message, c.says)
		}
	}
}

func TestRowsBecomeArtifacts(t *testing.T) {
	t.Parallel()
	for to, want := range map[string]struct{ kind, content string }{
		"r.csv":    {"text/csv", "Species,Cost\nGull,100\n\"Hawk, red\",\n"},
		"r.tsv":    {"text/tab-separated-values", "Species\tCost\nGull\t100\nHawk, red\t\n"},
		"r.json":   {"application/json", "[\n{\"Species\":\"Gull\",\"Cost\":100},\n{\"Species\":\"Hawk, red\",\"Cost\":null}\n]\n"},
		"r.ndjson": {"application/x-ndjson", "{\"Species\":\"Gull\",\"Cost\":100}\n{\"Species\":\"Hawk, red\",\"Cost\":null}\n"},
	} {
		s := &shelf{}
		result := run(t, read, withText(strikes, `,"types":{"Cost":"number"},"select":["Species","Cost"],"limit":2,"to":"`+to+`"`), s)
		var ref abi.ArtifactRef
		if err := result.Output("artifact", &ref); err != nil {
			t.Fatal(to, err)
		}
		if s.stored[ref.Artifact] != want.content || ref.Type != want.kind || string(result.Outputs["count"]) != "2" || result.Outputs["rows"] != nil {
			t.Errorf("%s: got %q of %s, %s rows", to, s.stored[ref.Artifact], ref.Type, result.Outputs["count"])
		}
	}
	s := &shelf{}
	run(t, read, withText("a,b\n", `,"to":"none.json"`), s)
	run(t, read, withText("a,b\n", `,"to":"none.csv"`), s)
	if s.stored["sha256:0"] != "[]\n" || s.stored["sha256:1"] != "a,b\n" {
		t.Errorf("of no rows: %q", s.stored)
	}
}

func TestThereAndBack(t *testing.T) {
	t.Parallel()
	table := "a,b\n\"x, \"\"y\"\"\",1\n\"two\nlines\",\n"
	s := &shelf{}
	var ref abi.ArtifactRef
	for _, to := range []string{"r.json", "r.ndjson"} {
		if err := run(t, read, withText(table, `,"to":"`+to+`"`), s).Output("artifact", &ref); err != nil {
			t.Fatal(err)
		}
		from, _ := json.Marshal(ref) // a reference is always JSON
		var back string
		if err := run(t, write, `{"from":`+string(from)+`}`, s).Output("text", &back); err != nil || back != table {
			t.Errorf("%s: got %q, %v, want %q", to, back, err, table)
		}
	}
}

func TestWrite(t *testing.T) {
	t.Parallel()
	for with, want := range map[string]string{
		`{"rows":[{"b":1,"a":"x"},{"a":null}]}`:                "b,a\n1,x\n,\n",
		`{"rows":[{"b":1.50,"a":true}],"columns":["a","c"]}`:   "a,c\ntrue,\n",
		`{"rows":[{"b":{"x":[1, 2]}}],"delimiter":";"}`:        "b\n\"{\"\"x\"\":[1,2]}\"\n",
		`{"rows":[{"b":12345678901234567890}],"header":false}`: "12345678901234567890\n",
		`{"rows":[],"columns":["a"]}`:                          "a\n",
		`{"rows":[{"a":"x"},{"a":"y","c":1}],"columns":["a"]}`: "a\nx\ny\n",
		`{"rows":[{"a":"=1+1"}]}`:                              "a\n=1+1\n",
		`{"rows":[{"a":"\u00e9\ud83d\ude00"}]}`:                "a\né😀\n",
	} {
		var got string
		result := run(t, write, with, nil)
		if err := result.Output("text", &got); err != nil || got != want {
			t.Errorf("%s: got %q, %v (%s), want %q", with, got, err, result.Verdict.Message, want)
		}
	}
	for with, says := range map[string]string{
		`{"rows":[{"a":1},{"b":2}]}`: `row 2: it has "b"`,
		`{"rows":[1]}`:               "row 1: it is no object",
		`{"rows":{"a":1},"x":1}`:     `unknown field "x"`,
		`{}`:                         "either rows",
	} {
		if v := run(t, write, with, nil).Verdict; v.Kind != abi.KindPermanent || !strings.Contains(v.Message, says) {
			t.Errorf("%s: got %s %q, want %q", with, v.Kind, v.Message, says)
		}
	}
}

func TestDates(t *testing.T) {
	t.Parallel()
	for field, want := range map[string]bool{
		"2024-02-29": true, "2023-02-29": false, "2024-13-01": false, "2024-00-10": false, "2024-01-00": false, "2024-1-01": false, "20x4-01-01": false,
		"2024-02-29T10:00:00Z": true, "2024-02-29 10:00": true, "2024-02-29T10:00:00+02:00": true, "29.2.2024": false, "2024": false,
	} {
		if _, got := dateOf(field); got != want {
			t.Errorf("%q: got %v", field, got)
		}
	}
}

func TestASortWithALimitKeepsTheFirst(t *testing.T) {
	t.Parallel()
	var table strings.Builder
	table.WriteString("n\n")
	for i := range 20_000 {
		fmt.Fprintf(&table, "%d\n", i*7919%20_000)
	}
	result := run(t, read, withText(table.String(), `,"types":{"n":"integer"},"sort":["-n"],"limit":3`), nil)
	if got := string(result.Outputs["rows"]); got != `[{"n":19999},{"n":19998},{"n":19997}]` {
		t.Errorf("got %s", got)
	}
}

func TestCancelledWhileReading(t *testing.T) {
	t.Parallel()
	table := "n\n" + strings.Repeat("1\n", 30_000)
	result, err := sdktest.Run(read, sdktest.Input{With: json.RawMessage(withText(table, "")), Cancel: true})
	if err != nil || result.Verdict.Kind != abi.KindFailed || len(result.Permille) != 1 {
		t.Errorf("got %+v, %v", result.Verdict, err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(strikes, `{"sort":["-Cost"]}`)
	f.Add("a,b\n1,2", `{"types":{"a":"date"},"group":{"by":["a"]}}`)
	f.Fuzz(func(_ *testing.T, table, more string) {
		var o readOptions
		if json.Unmarshal([]byte(more), &o) != nil {
			return
		}
		t := readText(table, &o)
		if t != nil {
			_, _ = jsonRows(t)
		}
	})
}

// readText reads a table, if it can be read.
func readText(text string, o *readOptions) *table {
	t := table{}
	if err := t.read(o, strings.NewReader(text), nil); err != nil && !errors.Is(err, errEnough) {
		return nil
	}
	return &t
}
