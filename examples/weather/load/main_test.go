package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
)

const heading = "date,precipitation,temp_max,temp_min,wind,weather\n"

func text(s string) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(s)), nil }
}

func TestAYearOfTheRealTable(t *testing.T) {
	t.Parallel()
	open := func() (io.ReadCloser, error) { return os.Open("../data/seattle-weather.csv") }
	for year, want := range map[string]int{"2012": 366, "2013": 365, "2014": 365, "2015": 365} {
		var stdout, stderr bytes.Buffer
		if code := run(strings.NewReader(`{"context":{"year":`+year+`}}`), &stdout, &stderr, open); code != 0 {
			t.Fatalf("%s: exit %d: %s", year, code, stderr.String())
		}
		var got outputs
		if err := json.Unmarshal(stdout.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		if got.Count != want || len(got.Rows) != want || got.Rows[0].Date != year+"-01-01" || got.Rows[want-1].Date != year+"-12-31" {
			t.Errorf("%s: %d rows from %s to %s, want %d", year, got.Count, got.Rows[0].Date, got.Rows[len(got.Rows)-1].Date, want)
		}
	}
}

func TestTheFirstDayIsReadWhole(t *testing.T) {
	t.Parallel()
	days, err := daysOf(strings.NewReader(heading+"2012-01-02,10.9,10.6,2.8,4.5,rain\n"), 2012)
	if err != nil {
		t.Fatal(err)
	}
	if want := (day{"2012-01-02", 10.9, 10.6, 2.8, 4.5, "rain"}); len(days) != 1 || days[0] != want {
		t.Errorf("got %+v, want %+v", days, want)
	}
}

func TestExitCodesSayWhatWentWrong(t *testing.T) {
	t.Parallel()
	const year = `{"context":{"year":2012}}`
	missing := func() (io.ReadCloser, error) { return nil, errors.New("no such file") }
	for name, c := range map[string]struct {
		stdin string
		open  func() (io.ReadCloser, error)
		code  int
		says  string
	}{
		"no context":   {"", text(heading), exitConfig, "run context"},
		"no year":      {`{"context":{}}`, text(heading), exitConfig, "context.year"},
		"no mount":     {year, missing, exitFailed, "no such file"},
		"no heading":   {year, text(""), exitDataError, "heading"},
		"no number":    {year, text(heading + "2012-01-01,x,1,1,1,sun\n"), exitDataError, "2012-01-01: column 2"},
		"short row":    {year, text(heading + "2012-01-01,1\n"), exitDataError, "wrong number of fields"},
		"no such year": {year, text(heading + "2013-01-01,1,1,1,1,sun\n"), exitSkip, "no day of 2012"},
	} {
		var stdout, stderr bytes.Buffer
		code := run(strings.NewReader(c.stdin), &stdout, &stderr, c.open)
		if code != c.code || !strings.Contains(stderr.String(), c.says) || stdout.Len() > 0 {
			t.Errorf("%s: exit %d, stderr %q, stdout %q", name, code, stderr.String(), stdout.String())
		}
	}
}
