package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
)

// month is one line of the summary: millimetres and degrees Celsius.
type month struct {
	Month         string  `json:"month"` // 2015-01
	Days          int     `json:"days"`
	Precipitation float64 `json:"precipitation"`
	TempMax       float64 `json:"temp_max_mean"`
	TempMin       float64 `json:"temp_min_mean"`
}

// summary holds the figures above the chart.
type summary struct {
	Wettest, Driest, Warmest, Coldest month
	Precipitation                     float64
	Days                              int
}

// summaryOf needs one month at least.
func summaryOf(months []month) summary {
	first := months[0]
	s := summary{Wettest: first, Driest: first, Warmest: first, Coldest: first}
	for _, m := range months {
		s.Days += m.Days
		s.Precipitation += m.Precipitation
		if m.Precipitation > s.Wettest.Precipitation {
			s.Wettest = m
		}
		if m.Precipitation < s.Driest.Precipitation {
			s.Driest = m
		}
		if m.TempMax > s.Warmest.TempMax {
			s.Warmest = m
		}
		if m.TempMin < s.Coldest.TempMin {
			s.Coldest = m
		}
	}
	return s
}

//go:embed page.html
var pageText string

// render returns a self-contained page with a chart and a table. The same
// months give the same bytes.
func render(months []month, title string) ([]byte, error) {
	if len(months) == 0 {
		return nil, fmt.Errorf("draw %q: there are no months", title)
	}
	page, err := template.New("page").Funcs(template.FuncMap{
		"one":  func(v float64) string { return fmt.Sprintf("%.1f", v) },
		"name": monthName,
	}).Parse(pageText)
	if err != nil {
		return nil, fmt.Errorf("draw %q: %w", title, err)
	}
	var b bytes.Buffer
	err = page.Execute(&b, map[string]any{
		"Title": title, "Months": months, "Summary": summaryOf(months), "Chart": chartOf(months),
	})
	if err != nil {
		return nil, fmt.Errorf("draw %q: %w", title, err)
	}
	return b.Bytes(), nil
}
