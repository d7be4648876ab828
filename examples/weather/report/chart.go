package main

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// Measures of the chart, in units of its view box.
const (
	chartWidth  = 860.0
	chartHeight = 400.0
	plotLeft    = 56.0
	plotRight   = chartWidth - 56.0
	plotTop     = 24.0
	plotBottom  = chartHeight - 44.0
	intervals   = 5 // grid lines above the base, shared by both axes
)

// chart is the drawing of a summary: bars for precipitation on the left axis,
// two lines for temperatures on the right one.
type chart struct {
	Width, Height float64
	Left, Right   float64
	Bottom        float64
	Grid          []gridLine
	Bars          []bar
	High, Low     line
}

// gridLine is a horizontal line with its value on both axes.
type gridLine struct {
	Y            float64
	Rain, Warmth string
}

// bar is the precipitation of a month.
type bar struct {
	X, Y, Width, Height, Middle float64
	Label, Hint                 string
}

// line is a temperature through the months.
type line struct {
	Points string // of an SVG polyline
	Dots   []dot
}

type dot struct {
	X, Y float64
	Hint string
}

// axis maps values to heights: from at the bottom, steps of equal size.
type axis struct{ from, step float64 }

func (a axis) y(v float64) float64 {
	return plotBottom - (v-a.from)/(a.step*intervals)*(plotBottom-plotTop)
}

// axisFor returns an axis of round numbers that holds low to high.
func axisFor(low, high float64) axis {
	for step := roundUp((high - low) / intervals); ; step = roundUp(step * 1.01) {
		a := axis{from: math.Floor(low/step) * step, step: step}
		if a.from+step*intervals >= high || math.IsInf(step, 1) {
			return a
		}
	}
}

// roundUp returns the next number of one easy digit.
func roundUp(v float64) float64 {
	if v <= 0 || math.IsNaN(v) {
		return 1
	}
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, digit := range []float64{1, 2, 3, 4, 5, 6, 8} {
		if v <= digit*power {
			return digit * power
		}
	}
	return 10 * power
}

func chartOf(months []month) chart {
	c := chart{Width: chartWidth, Height: chartHeight, Left: plotLeft, Right: plotRight, Bottom: plotBottom}
	rain, warmth := axesOf(months)
	for i := 0; i <= intervals; i++ {
		wet, warm := rain.from+float64(i)*rain.step, warmth.from+float64(i)*warmth.step
		c.Grid = append(c.Grid, gridLine{Y: rain.y(wet), Rain: fmt.Sprintf("%.4g", wet), Warmth: fmt.Sprintf("%.4g°", warm)})
	}
	slot := (plotRight - plotLeft) / float64(len(months))
	var high, low []string
	for i, m := range months {
		left := plotLeft + slot*float64(i)
		middle := left + slot/2
		c.Bars = append(c.Bars, bar{
			X: left + slot*0.2, Y: rain.y(m.Precipitation), Width: slot * 0.6, Height: plotBottom - rain.y(m.Precipitation),
			Middle: middle, Label: label(m.Month, i, len(months)), Hint: fmt.Sprintf("%s: %.1f mm", monthName(m.Month), m.Precipitation),
		})
		c.High.Dots = append(c.High.Dots, dot{middle, warmth.y(m.TempMax), fmt.Sprintf("%s: highs of %.1f °C", monthName(m.Month), m.TempMax)})
		c.Low.Dots = append(c.Low.Dots, dot{middle, warmth.y(m.TempMin), fmt.Sprintf("%s: lows of %.1f °C", monthName(m.Month), m.TempMin)})
		high = append(high, fmt.Sprintf("%.1f,%.1f", middle, warmth.y(m.TempMax)))
		low = append(low, fmt.Sprintf("%.1f,%.1f", middle, warmth.y(m.TempMin)))
	}
	c.High.Points, c.Low.Points = strings.Join(high, " "), strings.Join(low, " ")
	return c
}

// axesOf returns the axes of precipitation and of temperature.
func axesOf(months []month) (rain, warmth axis) {
	wettest, warmest, coldest := 0.0, 0.0, 0.0
	for _, m := range months {
		wettest = max(wettest, m.Precipitation)
		warmest = max(warmest, m.TempMax)
		coldest = min(coldest, m.TempMin)
	}
	return axisFor(0, wettest), axisFor(coldest, warmest)
}

// label is what stands under a bar; with many months only some have one.
func label(name string, index, of int) string {
	if every := of/12 + min(of%12, 1); index%every != 0 {
		return ""
	}
	t, err := time.Parse("2006-01", name)
	switch {
	case err != nil:
		return name
	case of > 12:
		return t.Format("Jan 06")
	}
	return t.Format("Jan")
}

// monthName is a month in words, or the text itself when it is none.
func monthName(name string) string {
	t, err := time.Parse("2006-01", name)
	if err != nil {
		return name
	}
	return t.Format("January 2006")
}
