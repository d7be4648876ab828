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

func TestNumbersEqualThoseOfQueries(t *testing.T) {
	t.Parallel()
	h, err := host.Open(t.Context(), host.Config{Manifest: "uniflow.toml", Data: t.TempDir(), Build: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
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
	var ref flow.ArtifactRef
	if err := json.Unmarshal(result.Outputs["page"]["artifact"], &ref); err != nil {
		t.Fatal(err)
	}
	content, err := h.Artifact(t.Context(), result.Run, ref.Digest)
	if err != nil {
		t.Fatal(err)
	}
	defer content.Close()
	page, err := io.ReadAll(content)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{fmt.Sprintf("aircraft since %d</h1>", since), "<td>Texas</td>", `<div class="bar" style="width: 100%">`, "Canada goose"} {
		if !strings.Contains(string(page), part) {
			t.Errorf("since %d: the page of %d bytes lacks %q", since, len(page), part)
		}
	}
	if ref.Type != "text/html" || int64(len(page)) != ref.Size {
		t.Errorf("since %d: got %+v", since, ref)
	}
}
