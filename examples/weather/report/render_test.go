package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"
)

func year() []month {
	var months []month
	for i := range 12 {
		months = append(months, month{fmt.Sprintf("2015-%02d", i+1), 30, float64(10 * i), float64(5 + i), float64(i - 4)})
	}
	return months
}

func draw(t *testing.T, months []month, title string) string {
	t.Helper()
	page, err := render(months, title)
	if err != nil {
		t.Fatal(err)
	}
	return string(page)
}

func TestThePageShowsEveryMonth(t *testing.T) {
	t.Parallel()
	page := draw(t, year(), "Seattle, 2015")
	for what, want := range map[string]int{
		`<rect class="bar"`: 12, `<circle class="dot high"`: 12, `<circle class="dot low"`: 12, `<polyline`: 2,
		"<tr><td>": 12, "<h1>Seattle, 2015</h1>": 1, "<td>December 2015</td><td>30</td><td>110.0</td><td>16.0</td><td>7.0</td>": 1,
		"<title>December 2015: 110.0 mm</title>": 1, "360 days, from January 2015": 1, "660.0 <small>mm": 1,
	} {
		if got := strings.Count(page, what); got != want {
			t.Errorf("%q stands there %d times, want %d", what, got, want)
		}
	}
}

func TestThePageNeedsNothingElse(t *testing.T) {
	t.Parallel()
	page := draw(t, year(), "x")
	for _, link := range []string{"http:", "https:", "src=", "href=", "url(", "<script", "@import", "ZgotmplZ"} {
		if strings.Contains(page, link) {
			t.Errorf("the page holds %q", link)
		}
	}
}

func TestTheChartIsWellFormed(t *testing.T) {
	t.Parallel()
	page := draw(t, year(), "x")
	_, svg, found := strings.Cut(page, "<svg")
	svg, _, closed := strings.Cut(svg, "</svg>")
	if !found || !closed {
		t.Fatal("there is no chart")
	}
	decoder := xml.NewDecoder(strings.NewReader("<svg" + svg + "</svg>"))
	for {
		_, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestTextOfOthersIsEscaped(t *testing.T) {
	t.Parallel()
	page := draw(t, []month{{Month: "<b>&", Days: 1}}, "<script>alert(1)</script>")
	if strings.Contains(page, "<script>") || strings.Contains(page, "<b>") {
		t.Error("markup of the inputs reaches the page")
	}
}

func TestTheSameMonthsGiveTheSameBytes(t *testing.T) {
	t.Parallel()
	first, err := render(year(), "x")
	if err != nil {
		t.Fatal(err)
	}
	if second, _ := render(year(), "x"); !bytes.Equal(first, second) {
		t.Error("two drawings differ")
	}
}

func TestEverythingStaysInsideThePlot(t *testing.T) {
	t.Parallel()
	for name, months := range map[string][]month{
		"a year":     year(),
		"one month":  {{Month: "2015-01", Days: 31}},
		"all cold":   {{"2015-01", 31, 0, -20, -35}, {"2015-02", 28, 0.4, -25, -41}},
		"long":       append(append(append(year(), year()...), year()...), year()...),
		"very large": {{"2015-01", 31, 1e9, 1e6, -1e6}},
	} {
		c := chartOf(months)
		inside := func(what string, y float64) {
			if math.IsNaN(y) || y < plotTop-0.1 || y > plotBottom+0.1 {
				t.Errorf("%s: %s at height %g leaves %g to %g", name, what, y, plotTop, plotBottom)
			}
		}
		for i := range months {
			inside("bar", c.Bars[i].Y)
			inside("high", c.High.Dots[i].Y)
			inside("low", c.Low.Dots[i].Y)
		}
	}
}

func TestAxesAreRound(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		low, high float64
		want      axis
	}{
		{0, 0, axis{0, 1}}, {0, 284.5, axis{0, 60}}, {0, 100, axis{0, 20}}, {-4, 26, axis{-8, 8}}, {0, 0.3, axis{0, 0.06}},
	} {
		got := axisFor(c.low, c.high)
		if math.Abs(got.from-c.want.from) > 1e-9 || math.Abs(got.step-c.want.step) > 1e-9 {
			t.Errorf("%g to %g: %+v, want %+v", c.low, c.high, got, c.want)
		}
	}
}

func TestManyMonthsShareLabels(t *testing.T) {
	t.Parallel()
	shown := 0
	for i := range 48 {
		if label("2015-01", i, 48) != "" {
			shown++
		}
	}
	if shown != 12 || label("2015-03", 2, 12) != "Mar" || label("?", 0, 1) != "?" {
		t.Errorf("%d labels of 48", shown)
	}
}

func TestNoMonthsAreAnError(t *testing.T) {
	t.Parallel()
	if _, err := render(nil, "x"); err == nil {
		t.Error("nothing was drawn without an error")
	}
	if got := rounded(0.1 + 0.2); got != 0.3 {
		t.Errorf("rounded = %g", got)
	}
}
