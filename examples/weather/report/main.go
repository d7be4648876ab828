// Command report draws the weather of a year as one HTML page. It is a process
// plugin: a native program that the host starts and confines, for what does
// not fit into a sandbox. This one would fit; it shows how it is done.
package main

import (
	"bytes"
	"context"
	"math"

	"github.com/uniflow-dev/uniflow/sdk/abi"
	"github.com/uniflow-dev/uniflow/sdk/process"
)

func main() {
	process.Serve(process.Plugin{
		Descriptor: abi.Descriptor{
			Name: "report", Version: "1.0.0", Description: "Draws monthly weather as an HTML page",
			Functions: map[string]abi.Function{"report": {Description: "with: months, title; outputs: page (an artifact), wettest, total"}},
		},
		Functions: map[string]process.Func{"report": report},
	})
}

// report keeps the page as an artifact and tells the figures that a reader
// would look for first.
func report(_ context.Context, c *process.Call) error {
	var with struct {
		Months []month `json:"months"`
		Title  string  `json:"title"`
	}
	if err := c.DecodeWith(&with); err != nil {
		return err
	}
	if len(with.Months) == 0 {
		return process.Skip("there are no months to draw")
	}
	page, err := render(with.Months, with.Title)
	if err != nil {
		return process.Permanent(err)
	}
	if err := c.Artifact("page", "text/html; charset=utf-8", bytes.NewReader(page)); err != nil {
		return err
	}
	sum := summaryOf(with.Months)
	c.Info("drew %d months, %d bytes; the wettest was %s", len(with.Months), len(page), sum.Wettest.Month)
	if err := c.Output("wettest", sum.Wettest.Month); err != nil {
		return err
	}
	return c.Output("total", rounded(sum.Precipitation))
}

// rounded is a number with one decimal.
func rounded(v float64) float64 { return math.Round(v*10) / 10 }
