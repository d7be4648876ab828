package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/hosttest"
)

// plugin is the program under test, built once.
var plugin string //nolint:gochecknoglobals // set before the first test

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "sql-plugin")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		plugin = filepath.Join(dir, "sql")
		if runtime.GOOS == "windows" {
			plugin += ".exe"
		}
		if out, err := exec.Command("go", "build", "-o", plugin, ".").CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

type with = map[string]any

// engine is a real database and how it writes what the tests need.
type engine struct {
	url    string
	types  string // columns of all kinds
	values string // of one row, as the engine's own text
	rows   string // what a query says of them
	kinds  string // name:type of the columns
	blob   string // type for bytes
	number string // type for decimals
	code   string // of the failure for a key that is there already
	absent string // of the failure for a table that is not there
	series string // a statement that does not end for long
}

// client calls the plugin with one database.
type client struct {
	*testing.T

	module *hosttest.Module
	engine engine
}

func newClient(t *testing.T, e engine) client {
	t.Helper()
	m, err := hosttest.Load(t.Context(), plugin, hosttest.Config{Kind: flow.KindProcess, Secrets: map[string]string{"DB": e.url}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return client{t, m, e}
}

func inputOf(function string, w with) hosttest.Input {
	return hosttest.Input{Function: function, With: w}
}

func (c client) call(function string, w with) hosttest.Output {
	c.Helper()
	w["secret"] = "DB"
	out, err := c.module.Call(c.Context(), hosttest.Input{Function: function, With: w})
	if err != nil {
		c.Fatal(err)
	}
	return out
}

// do executes what must succeed.
func (c client) do(function string, w with) hosttest.Output {
	c.Helper()
	out := c.call(function, w)
	if out.Verdict != flow.VerdictOK {
		c.Fatalf("%s %v: %v %q %q", function, w, out.Verdict, out.Code, out.Message)
	}
	return out
}

func (c client) exec(statements ...any) { c.Helper(); c.do("exec", with{"statements": statements}) }

// rows returns the rows of a query as JSON.
func (c client) rows(sql string, params ...any) string {
	c.Helper()
	return string(c.do("query", with{"sql": sql, "params": append([]any{}, params...)}).Outputs["rows"])
}

func (c client) same(what, got, want string) {
	c.Helper()
	if got != want {
		c.Errorf("%s:\n got %s\nwant %s", what, got, want)
	}
}

// refused executes what must end as said.
func (c client) refused(function string, w with, verdict flow.Verdict, code, message string) {
	c.Helper()
	out := c.call(function, w)
	if out.Verdict != verdict || out.Code != code || !strings.Contains(out.Message, message) {
		c.Errorf("%s %v: %v %q %q, want %v %q %q", function, w, out.Verdict, out.Code, out.Message, verdict, code, message)
	}
}

// mark is the placeholder of value n.
func (c client) mark(n int) string {
	if strings.HasPrefix(c.engine.url, "postgres") {
		return fmt.Sprint("$", n)
	}
	return "?"
}

// suite is what holds for all engines.
func suite(t *testing.T, e engine) {
	t.Helper()
	c := newClient(t, e)
	for _, part := range []struct {
		name string
		test func(client)
	}{
		{"types", types},
		{"params", params},
		{"load", loads},
		{"upsert", upserts},
		{"artifacts", artifacts},
		{"transactions", transactions},
		{"limits", limits},
		{"failures", failures},
	} {
		t.Run(part.name, func(t *testing.T) { part.test(client{t, c.module, e}) })
	}
}

func types(c client) {
	c.exec("CREATE TABLE kinds (" + c.engine.types + ")")
	c.exec("INSERT INTO kinds VALUES (" + c.engine.values + ")")
	out := c.do("query", with{"sql": "SELECT * FROM kinds"})
	c.same("rows", string(out.Outputs["rows"]), c.engine.rows)
	c.same("count", string(out.Outputs["count"]), "1")
	var columns []column
	if err := json.Unmarshal(out.Outputs["columns"], &columns); err != nil {
		c.Fatal(err)
	}
	var kinds []string
	for _, k := range columns {
		kinds = append(kinds, k.Name+":"+string(k.Type))
	}
	c.same("columns", strings.Join(kinds, " "), c.engine.kinds)
	c.do("exec", with{"sql": "DELETE FROM kinds"})
	c.do("load", with{"table": "kinds", "rows": out.Outputs["rows"]})
	c.same("rows that were loaded back", c.rows("SELECT * FROM kinds"), c.engine.rows)
}

func params(c client) {
	c.exec("CREATE TABLE words (id INTEGER PRIMARY KEY, word VARCHAR(200))")
	evil := `'); DROP TABLE words; -- \ " $1 ?`
	c.exec(with{"sql": "INSERT INTO words VALUES (" + c.mark(1) + ", " + c.mark(2) + ")", "params": []any{1, evil}}, with{"sql": "INSERT INTO words VALUES (2, NULL)"})
	want, err := json.Marshal([]map[string]any{{"word": evil}})
	if err != nil {
		c.Fatal(err)
	}
	c.same("a text with quotes", c.rows("SELECT word FROM words WHERE word = "+c.mark(1), evil), string(want))
	c.same("nothing found", c.rows("SELECT word FROM words WHERE id = "+c.mark(1), 7), "[]")
	c.same("NULL", c.rows("SELECT word FROM words WHERE id = "+c.mark(1), 2), `[{"word":null}]`)
	out := c.do("exec", with{"sql": "UPDATE words SET word = " + c.mark(1), "params": []any{"x"}})
	c.same("affected", string(out.Outputs["affected"]), "[2]")
}

func loads(c client) {
	c.exec("CREATE TABLE data (id BIGINT, price " + c.engine.number + ", name VARCHAR(50), raw " + c.engine.blob + ")")
	rows := `[{"id":9007199254740993,"price":"12.50","name":"grüße","raw":{"$base64":"/wA="}},{"id":-1,"price":"0.10","name":null,"raw":null},{"id":2,"price":"1.00","name":"x"}]`
	out := c.do("load", with{"table": "data", "rows": json.RawMessage(rows)})
	c.same("count", string(out.Outputs["count"]), "3")
	c.same("large numbers and bytes", c.rows("SELECT id, name, raw FROM data ORDER BY id DESC"),
		`[{"id":9007199254740993,"name":"grüße","raw":{"$base64":"/wA="}},{"id":2,"name":"x","raw":null},{"id":-1,"name":null,"raw":null}]`)
	c.same("no rows", string(c.do("load", with{"table": "data", "rows": []any{}}).Outputs["count"]), "0")
	c.do("load", with{"table": "data", "rows": []any{with{"id": 4, "other": 1}}, "columns": []string{"id"}})
	var many []any
	for i := range 1234 {
		many = append(many, with{"id": 100 + i, "name": fmt.Sprint("n", i)})
	}
	c.do("load", with{"table": "data", "rows": many})
	c.same("several batches", c.rows("SELECT count(*) AS n, min(id) AS a, max(id) AS z FROM data WHERE id >= 100 AND id < 9000"), `[{"n":1234,"a":100,"z":1333}]`)
}

func upserts(c client) {
	c.exec("CREATE TABLE stock (sku VARCHAR(20) PRIMARY KEY, n INTEGER, note VARCHAR(20))", "INSERT INTO stock VALUES ('a', 1, 'old'), ('b', 2, 'old')")
	c.do("load", with{"table": "stock", "key": []string{"sku"}, "rows": []any{
		with{"sku": "b", "n": 20}, with{"sku": "c", "n": 30}, with{"sku": "b", "n": 21},
	}})
	c.same("rows by key", c.rows("SELECT * FROM stock ORDER BY sku"), `[{"sku":"a","n":1,"note":"old"},{"sku":"b","n":21,"note":"old"},{"sku":"c","n":30,"note":null}]`)
	c.do("load", with{"table": "stock", "key": []string{"sku"}, "rows": []any{with{"sku": "c"}, with{"sku": "d"}}})
	c.same("keys alone", c.rows("SELECT sku, n FROM stock WHERE sku >= 'c' ORDER BY sku"), `[{"sku":"c","n":30},{"sku":"d","n":null}]`)
	c.refused("load", with{"table": "stock", "key": []string{"nil"}, "rows": []any{with{"sku": "c"}}}, flow.VerdictPermanent, "invalid", `names "nil"`)
	c.refused("load", with{"table": "stock", "rows": []any{with{"sku": "z"}, with{"sku": "a"}}}, flow.VerdictPermanent, c.engine.code, "")
	c.same("nothing of a failed load", c.rows("SELECT sku FROM stock WHERE sku = 'z'"), "[]")
}

func artifacts(c client) {
	c.exec("CREATE TABLE source_of (id INTEGER, name VARCHAR(50), raw "+c.engine.blob+")", "CREATE TABLE target (id INTEGER, name VARCHAR(50), raw "+c.engine.blob+")")
	c.do("load", with{"table": "source_of", "rows": []any{with{"id": 1, "name": "a,\"b\"\nc", "raw": with{"$base64": "AP8="}}, with{"id": 2, "name": nil}}})
	for _, format := range []string{"ndjson", "csv"} {
		columns := map[string]string{"ndjson": "id, name, raw", "csv": "id, name"}[format]
		out := c.do("query", with{"sql": "SELECT " + columns + " FROM source_of ORDER BY id", "format": format, "null": `\N`})
		content, err := out.Artifact("rows")
		if err != nil {
			c.Fatal(err)
		}
		want := "{\"id\":1,\"name\":\"a,\\\"b\\\"\\nc\",\"raw\":{\"$base64\":\"AP8=\"}}\n{\"id\":2,\"name\":null,\"raw\":null}\n"
		if format == "csv" {
			want = "id,name\n1,\"a,\"\"b\"\"\nc\"\n2,\\N\n"
		}
		c.same(format, string(content), want)
		var ref struct {
			Type string `json:"type"`
		}
		_ = json.Unmarshal(out.Outputs["rows"], &ref)
		c.do("exec", with{"sql": "DELETE FROM target"})
		loaded := c.do("load", with{"table": "target", "rows": hosttest.Artifact{Type: ref.Type, Content: content}, "null": `\N`})
		c.same("count", string(loaded.Outputs["count"]), "2")
		c.same("rows of "+format, c.rows("SELECT "+columns+" FROM target ORDER BY id"), c.rows("SELECT "+columns+" FROM source_of ORDER BY id"))
	}
	c.do("load", with{"table": "target", "rows": hosttest.Artifact{Type: "application/json", Content: []byte(`[{"id":3}]`)}})
	for content, message := range map[string]string{"{\"id\":1}\n7": "row 2 is no JSON object", "{\"id\":1}\n{": "row 2 is no JSON object"} {
		c.refused("load", with{"table": "target", "rows": hosttest.Artifact{Content: []byte(content)}, "format": "ndjson"}, flow.VerdictPermanent, "invalid", message)
	}
	c.refused("load", with{"table": "target", "rows": hosttest.Artifact{Content: []byte("a\n1,2\n")}, "format": "csv"}, flow.VerdictPermanent, "invalid", "wrong number of fields")
	c.refused("load", with{"table": "target", "rows": hosttest.Artifact{Content: []byte("x")}}, flow.VerdictPermanent, "invalid", "with.format is missing")
}

func transactions(c client) {
	c.exec("CREATE TABLE ledger (n INTEGER)")
	c.refused("exec", with{"statements": []any{"INSERT INTO ledger VALUES (1)", "INSERT INTO nowhere VALUES (1)"}}, flow.VerdictPermanent, c.engine.absent, "statement 2 of 2")
	c.same("nothing of a failed transaction", c.rows("SELECT * FROM ledger"), "[]")
	out := c.call("query", with{"sql": "DELETE FROM ledger"})
	if out.Verdict != flow.VerdictPermanent {
		c.Errorf("a query that changes rows: %v %q %q", out.Verdict, out.Code, out.Message)
	}
}

func limits(c client) {
	c.exec("CREATE TABLE numbers (n INTEGER)")
	var rows []any
	for i := range 100 {
		rows = append(rows, with{"n": i})
	}
	c.do("load", with{"table": "numbers", "rows": rows})
	for _, format := range []string{"rows", "ndjson", "csv"} {
		c.refused("query", with{"sql": "SELECT * FROM numbers", "format": format, "max_rows": 99}, flow.VerdictPermanent, "too_large", "more than 99 rows")
		c.refused("query", with{"sql": "SELECT * FROM numbers", "format": format, "max_bytes": 100}, flow.VerdictPermanent, "too_large", "more than 100 bytes")
		c.do("query", with{"sql": "SELECT * FROM numbers", "format": format, "max_rows": 100, "max_bytes": 10000})
	}
	c.refused("query", with{"sql": c.engine.series, "timeout": "100ms"}, flow.VerdictFailed, "timeout", "with.timeout")
}

func failures(c client) {
	c.refused("query", with{"sql": "SELEC 1"}, flow.VerdictPermanent, c.call("query", with{"sql": "SELEC 2"}).Code, "SELEC")
	c.refused("query", with{"sql": "SELECT * FROM nowhere"}, flow.VerdictPermanent, c.engine.absent, "nowhere")
	c.refused("query", with{"sql": "SELECT 1 AS a, 2 AS a"}, flow.VerdictPermanent, "invalid", `two columns of the result are named "a"`)
	c.refused("query", with{}, flow.VerdictPermanent, "invalid", "with.sql is missing")
	c.refused("query", with{"sql": "SELECT 1", "format": "xml"}, flow.VerdictPermanent, "invalid", "with.format")
	c.refused("query", with{"sqll": "SELECT 1"}, flow.VerdictPermanent, "invalid", "sqll")
	c.refused("load", with{"rows": []any{}}, flow.VerdictPermanent, "invalid", "with.table is missing")
	c.refused("load", with{"table": "t"}, flow.VerdictPermanent, "invalid", "with.rows is missing")
	c.refused("load", with{"table": "t", "rows": "x"}, flow.VerdictPermanent, "invalid", "neither")
	c.refused("load", with{"table": "t", "rows": []any{with{"a": 1}, with{"b": 1}}}, flow.VerdictPermanent, "invalid", `the column "b"`)
	c.refused("exec", with{}, flow.VerdictPermanent, "invalid", "with.sql is missing")
}
