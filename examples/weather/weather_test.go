// Package weather_test runs the example as a user does, and holds its sums against a query of its own.
package weather_test

import (
	"bytes"
	"database/sql"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	_ "modernc.org/sqlite"

	"github.com/uniflow-dev/uniflow/host"
	"github.com/uniflow-dev/uniflow/host/flow"
)

// month is an element of the output `months`, and a row of the query.
type month struct {
	Month         string  `json:"month"`
	Days          int     `json:"days"`
	Precipitation float64 `json:"precipitation"`
	TempMaxMean   float64 `json:"temp_max_mean"`
}

func TestMonthlySumsEqualThoseOfAQuery(t *testing.T) {
	t.Parallel()
	h, err := host.Open(t.Context(), host.Config{Manifest: filepath.Join("..", "..", "uniflow.toml"), Data: t.TempDir(), Build: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	db := weatherTable(t)
	for _, year := range []int{2012, 2013, 2014, 2015} {
		result, err := h.RunNow(t.Context(), "weather", map[string]any{"year": year})
		if err != nil || !result.Success {
			t.Fatalf("%d: got %+v, %v", year, result, err)
		}
		got := months(t, result.Steps)
		want := query(t, db, year)
		if len(got) != len(want) || len(want) != 12 {
			t.Fatalf("%d: got %d months, want %d", year, len(got), len(want))
		}
		for i := range want {
			g, w := got[i], want[i]
			if g.Month != w.Month || g.Days != w.Days || math.Abs(g.Precipitation-w.Precipitation) > 0.051 || math.Abs(g.TempMaxMean-w.TempMaxMean) > 0.051 {
				t.Errorf("got %+v, want %+v", g, w)
			}
		}
		checkReport(t, h, result, year)
	}
}

// months reads the output of the step summarise.
func months(t *testing.T, steps []flow.StepRecord) []month {
	t.Helper()
	for i := range steps {
		if steps[i].Name != "summarise" {
			continue
		}
		var out []month
		if err := json.Unmarshal(steps[i].Outputs["months"], &out); err != nil {
			t.Fatal(err)
		}
		return out
	}
	t.Fatal("no step summarise")
	return nil
}

// weatherTable loads the CSV into a table.
func weatherTable(t *testing.T) *sql.DB {
	t.Helper()
	file, err := os.Open(filepath.Join("data", "seattle-weather.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(t.Context(), "create table weather (date text, precipitation real, temp_max real)"); err != nil {
		t.Fatal(err)
	}
	for _, row := range rows[1:] {
		if _, err := db.ExecContext(t.Context(), "insert into weather values (?, ?, ?)", row[0], row[1], row[2]); err != nil {
			t.Fatal(err)
		}
	}
	return db
}

func query(t *testing.T, db *sql.DB, year int) []month {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), `select substr(date, 1, 7), count(*), sum(precipitation), avg(temp_max)
		from weather where date like ? group by 1 order by 1`, fmt.Sprintf("%d-%%", year))
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var out []month
	for rows.Next() {
		var m month
		if err := rows.Scan(&m.Month, &m.Days, &m.Precipitation, &m.TempMaxMean); err != nil {
			t.Fatal(err)
		}
		out = append(out, m)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// checkReport reads the page that the last step drew.
func checkReport(t *testing.T, h *host.Host, result host.Result, year int) {
	t.Helper()
	for _, raw := range result.Outputs["report"] {
		var ref flow.ArtifactRef
		if json.Unmarshal(raw, &ref) != nil || ref.Digest == "" {
			continue
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
		if int64(len(page)) != ref.Size || !bytes.Contains(page, []byte("<svg")) || !strings.Contains(string(page), fmt.Sprint(year)) {
			t.Errorf("%d: the report of %d bytes is not a page with a chart of its year", year, len(page))
		}
		return
	}
	t.Errorf("%d: the report has no artifact: %v", year, result.Outputs)
}
