// Command load reads one year out of the table of daily weather. It is an
// ordinary program that knows no kit: the run context comes on stdin, the
// outputs go to stdout as one JSON object, the reason of a failure to stderr.
package main

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
)

// table is where the manifest mounts the data.
const table = "/data/seattle-weather.csv"

// Exit codes of the contract that this program uses.
const (
	exitFailed    = 1
	exitDataError = 65 // do not try again: the data is wrong
	exitConfig    = 78 // do not try again: the context is wrong
	exitSkip      = 99
)

// day is one row of the table, in millimetres, degrees Celsius and metres per
// second.
type day struct {
	Date          string  `json:"date"`
	Precipitation float64 `json:"precipitation"`
	TempMax       float64 `json:"temp_max"`
	TempMin       float64 `json:"temp_min"`
	Wind          float64 `json:"wind"`
	Weather       string  `json:"weather"`
}

// outputs is what the next steps see.
type outputs struct {
	Count int   `json:"count"`
	Rows  []day `json:"rows"`
}

func main() {
	os.Exit(run(os.Stdin, os.Stdout, os.Stderr, func() (io.ReadCloser, error) { return os.Open(table) }))
}

func run(stdin io.Reader, stdout, stderr io.Writer, open func() (io.ReadCloser, error)) int {
	year, err := yearOf(stdin)
	if err != nil {
		fmt.Fprintln(stderr, "error:", err)
		return exitConfig
	}
	file, err := open()
	if err != nil {
		fmt.Fprintf(stderr, "error: %v (the plugin needs a mount that holds it)\n", err)
		return exitFailed
	}
	defer file.Close()
	rows, err := daysOf(file, year)
	if err != nil {
		fmt.Fprintln(stderr, "error:", err)
		return exitDataError
	}
	if len(rows) == 0 {
		fmt.Fprintf(stderr, "the table has no day of %d\n", year)
		return exitSkip
	}
	fmt.Fprintf(stderr, "info: %d days of %d\n", len(rows), year)
	if err := json.NewEncoder(stdout).Encode(outputs{len(rows), rows}); err != nil {
		fmt.Fprintln(stderr, "error:", err)
		return exitFailed
	}
	return 0
}

// yearOf reads the year out of the run context.
func yearOf(stdin io.Reader) (int, error) {
	var run struct {
		Context struct {
			Year int `json:"year"`
		} `json:"context"`
	}
	if err := json.NewDecoder(stdin).Decode(&run); err != nil {
		return 0, fmt.Errorf("read the run context: %w", err)
	}
	if run.Context.Year == 0 {
		return 0, errors.New("context.year is missing: which year is to be loaded?")
	}
	return run.Context.Year, nil
}

// daysOf returns the rows of one year, in the order of the table.
func daysOf(r io.Reader, year int) ([]day, error) {
	table := csv.NewReader(r)
	table.FieldsPerRecord = 6
	table.ReuseRecord = true
	if _, err := table.Read(); err != nil {
		return nil, fmt.Errorf("read the heading: %w", err)
	}
	prefix := fmt.Sprintf("%04d-", year)
	var days []day
	for {
		record, err := table.Read()
		if errors.Is(err, io.EOF) {
			return days, nil
		}
		if err != nil {
			return nil, err
		}
		if len(record[0]) != 10 || record[0][:5] != prefix {
			continue
		}
		d, err := dayOf(record)
		if err != nil {
			return nil, err
		}
		days = append(days, d)
	}
}

func dayOf(record []string) (day, error) {
	d := day{Date: record[0], Weather: record[5]}
	for i, into := range []*float64{&d.Precipitation, &d.TempMax, &d.TempMin, &d.Wind} {
		n, err := strconv.ParseFloat(record[i+1], 64)
		if err != nil {
			return day{}, fmt.Errorf("%s: column %d: %w", d.Date, i+2, err)
		}
		*into = n
	}
	return d, nil
}
