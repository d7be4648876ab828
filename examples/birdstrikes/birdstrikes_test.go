// Package birdstrikes_test runs the example as a user does, and holds its numbers against queries of another engine.
package birdstrikes_test

import (
	"database/sql"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/uniflow-dev/uniflow/host"
	"github.com/uniflow-dev/uniflow/host/flow"
)

// queries are what the steps of csv do, each in the words of SQL.
func queries() map[string]string {
	return map[string]string{
		"states": `select state, cost, dearest, strikes from (
			select state, sum(cost) cost, max(cost) dearest, count(*) strikes from strikes where year >= ? group by state
		) order by strikes desc, state`,
		"years": `select year, sum(cost) cost, avg(speed) speed, count(*) strikes from strikes where year >= ? group by year order by year`,
		"species": `select species, size, sum(cost) cost, avg(cost) mean, count(*) strikes from strikes
			where year >= ? and cost > 0 group by species, size order by sum(cost) desc, species, size limit 10`,
	}
}

// TestNumbersEqualThoseOfQueries runs the pipeline, and then one that hands the whole table on by artifacts.
func TestNumbersEqualThoseOfQueries(t *testing.T) {
	t.Parallel()
	data := t.TempDir() // what is compiled for one test serves the other
	within(t, "uniflow.toml", data, func(h *host.Host) { checkNumbers(t, h) })
	within(t, handing(t), data, func(h *host.Host) { checkArtifacts(t, h) })
}

// within opens a host for as long as f takes.
func within(t *testing.T, manifest, data string, f func(*host.Host)) {
	t.Helper()
	h, err := host.Open(t.Context(), host.Config{Manifest: manifest, Data: data, Build: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	}()
	f(h)
}

func checkNumbers(t *testing.T, h *host.Host) {
	t.Helper()
	db := strikes(t)
	for _, since := range []int{1990, 1995, 2002} {
		begin := time.Now()
		result, err := h.RunNow(t.Context(), "birdstrikes", map[string]any{"since": since})
		if err != nil || !result.Success {
			t.Fatalf("%d: got %+v, %v", since, result, err)
		}
		t.Logf("since %d: %s", since, time.Since(begin))
		for step, text := range queries() {
			got, want := rowsOf(t, result.Steps, step), query(t, db, text, since)
			if len(got) != len(want) || len(want) == 0 {
				t.Errorf("%s since %d: got %d rows, want %d", step, since, len(got), len(want))
				continue
			}
			for i := range want {
				if !same(got[i], want[i]) {
					t.Errorf("%s since %d, row %d: got %v, want %v", step, since, i+1, got[i], want[i])
				}
			}
		}
		checkTotals(t, db, result, since)
		checkPage(t, h, result, since)
	}
}

// same compares rows; means may differ in their last digits.
func same(got, want map[string]any) bool {
	if len(got) != len(want) {
		return false
	}
	for name, w := range want {
		g := got[name]
		x, isNumber := w.(float64)
		y, alike := g.(float64)
		if isNumber && alike && math.Abs(x-y) <= 1e-9*math.Abs(x) {
			continue
		}
		if !reflect.DeepEqual(g, w) {
			return false
		}
	}
	return true
}

func rowsOf(t *testing.T, steps []flow.StepRecord, name string) []map[string]any {
	t.Helper()
	for i := range steps {
		if steps[i].Name == name {
			var rows []map[string]any
			if err := json.Unmarshal(steps[i].Outputs["rows"], &rows); err != nil {
				t.Fatal(err)
			}
			return rows
		}
	}
	t.Fatalf("no step %s", name)
	return nil
}

// strikes loads the table into another engine.
func strikes(t *testing.T) *sql.DB {
	t.Helper()
	file, err := os.Open(filepath.Join("strikes", "birdstrikes.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	records, err := csv.NewReader(file).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(t.Context(), "create table strikes (state text, year integer, species text, size text, cost integer, speed real)"); err != nil {
		t.Fatal(err)
	}
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	at := map[string]int{}
	for i, name := range records[0] {
		at[name] = i
	}
	for _, r := range records[1:] {
		_, err := tx.ExecContext(t.Context(), "insert into strikes values (?, cast(substr(?, 1, 4) as integer), ?, ?, ?, nullif(?, ''))",
			r[at["Origin State"]], r[at["Flight Date"]], r[at["Wildlife Species"]], r[at["Wildlife Size"]], r[at["Cost Total $"]], r[at["Speed IAS in knots"]])
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	return db
}

// query returns rows as JSON would have them.
func query(t *testing.T, db *sql.DB, text string, since int) []map[string]any {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), text, since)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	var all []map[string]any
	for rows.Next() {
		values, into := make([]any, len(names)), make([]any, len(names))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		row := map[string]any{}
		for i, name := range names {
			if n, whole := values[i].(int64); whole {
				values[i] = float64(n)
			}
			row[name] = values[i]
		}
		all = append(all, row)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// checkTotals holds what jq makes of the groups against the whole table.
func checkTotals(t *testing.T, db *sql.DB, result host.Result, since int) {
	t.Helper()
	var count, cost float64
	if err := db.QueryRowContext(t.Context(), "select count(*), sum(cost) from strikes where year >= ?", since).Scan(&count, &cost); err != nil {
		t.Fatal(err)
	}
	for i := range result.Steps {
		if s := &result.Steps[i]; s.Name == "figures" {
			if string(s.Outputs["strikes"]) != fmt.Sprint(int(count)) || string(s.Outputs["cost"]) != fmt.Sprint(int(cost)) {
				t.Errorf("since %d: %s strikes that cost %s, want %v and %v", since, s.Outputs["strikes"], s.Outputs["cost"], count, cost)
			}
		}
	}
}

// checkPage reads the page that the last step drew.
func checkPage(t *testing.T, h *host.Host, result host.Result, since int) {
	t.Helper()
	page := artifact(t, h, result, result.Outputs["page"]["artifact"], "text/html")
	for _, part := range []string{fmt.Sprintf("aircraft since %d</h1>", since), "<td>Texas</td>", `<div class="bar" style="width: 100%">`, "Canada goose"} {
		if !strings.Contains(string(page), part) {
			t.Errorf("since %d: the page of %d bytes lacks %q", since, len(page), part)
		}
	}
}

// artifact reads the artifact that an output refers to.
func artifact(t *testing.T, h *host.Host, result host.Result, output json.RawMessage, kind string) []byte {
	t.Helper()
	var ref flow.ArtifactRef
	if err := json.Unmarshal(output, &ref); err != nil {
		t.Fatal(err)
	}
	r, err := h.Artifact(t.Context(), result.Run, ref.Digest)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	content, err := io.ReadAll(r)
	if err != nil || ref.Type != kind || int64(len(content)) != ref.Size {
		t.Fatalf("got %+v, %d bytes, %v", ref, len(content), err)
	}
	return content
}

// handingOn takes the table apart and puts it together again; the rows are larger than what a plugin keeps in memory.
const handingOn = `version = 1
[plugins.csv]
wasm = "csv.wasm"
grant = { mount = { "/strikes" = "strikes" } }
[plugins.jq]
wasm = "jq.wasm"
[pipelines.handing.steps.rows]
plugin = "csv"
function = "read"
with = { from = "/strikes/birdstrikes.csv", to = "rows.ndjson" }
[pipelines.handing.steps.count]
plugin = "jq"
with = { from = "${steps.rows.artifact}", filter = "reduce inputs as $row (1; . + 1)" }
[pipelines.handing.steps.back]
plugin = "csv"
function = "write"
with = { from = "${steps.rows.artifact}", to = "back.csv" }
`

// handing makes a folder for handingOn, with the plugins that the example has built.
func handing(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for from, to := range map[string]string{"plugins/csv.wasm": "csv.wasm", "plugins/jq.wasm": "jq.wasm", "strikes/birdstrikes.csv": "strikes/birdstrikes.csv"} {
		content, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, to), content)
	}
	manifest := filepath.Join(dir, "uniflow.toml")
	write(t, manifest, []byte(handingOn))
	return manifest
}

func checkArtifacts(t *testing.T, h *host.Host) {
	t.Helper()
	result, err := h.RunNow(t.Context(), "handing", nil)
	if err != nil || !result.Success {
		t.Fatalf("got %+v, %v", result, err)
	}
	if got := string(result.Outputs["count"]["result"]); got != "10000" {
		t.Errorf("jq counts %s rows", got)
	}
	back := artifact(t, h, result, result.Outputs["back"]["artifact"], "text/csv")
	want, err := os.ReadFile(filepath.Join("strikes", "birdstrikes.csv"))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(records(t, string(back)), records(t, string(want))) {
		t.Errorf("the table of %d bytes is not the one of %d bytes that was read", len(back), len(want))
	}
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func records(t *testing.T, table string) [][]string {
	t.Helper()
	all, err := csv.NewReader(strings.NewReader(table)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return all
}
