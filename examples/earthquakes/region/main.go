// Package main is a reactor with two entries: region looks at the earthquakes
// of one region, top puts the regions in order.
package main

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"github.com/uniflow-dev/uniflow/sdk"
)

// figures are the statistics of a region; depths are in kilometres.
type figures struct {
	Region    string  `json:"region"`
	Count     int     `json:"count"`
	Strongest float64 `json:"strongest"`
	Mean      float64 `json:"mean"`
	Deepest   float64 `json:"deepest"`
	Where     string  `json:"where"` // the place of the strongest one
}

// quake is as much of an earthquake as is needed here.
type quake struct {
	Mag   float64 `json:"mag"`
	Place string  `json:"place"`
	Depth float64 `json:"depth"`
}

// Marker marks the module as a reactor.
//
//go:wasmexport uniflow_abi_v1
func Marker() {}

// Region is the entry that the manifest names by function = "region".
//
//go:wasmexport region
func Region() int32 { return uniflow.Handle(region) }

// Top is the entry that the manifest names by function = "top".
//
//go:wasmexport top
func Top() int32 { return uniflow.Handle(top) }

func main() {}

// region is called once for each region.
func region(ctx *uniflow.Context) error {
	var item struct {
		Name   string  `json:"name"`
		Quakes []quake `json:"quakes"`
	}
	if err := ctx.DecodeItem(&item); err != nil {
		return err
	}
	if len(item.Quakes) == 0 {
		return uniflow.Skip(item.Name + " was quiet")
	}
	return ctx.Output("figures", figuresOf(item.Name, item.Quakes))
}

// figuresOf needs one earthquake at least.
func figuresOf(name string, quakes []quake) figures {
	f := figures{Region: name, Count: len(quakes), Strongest: math.Inf(-1), Deepest: math.Inf(-1)}
	sum := 0.0
	for _, q := range quakes {
		sum += q.Mag
		f.Deepest = max(f.Deepest, q.Depth)
		if q.Mag > f.Strongest {
			f.Strongest, f.Where = q.Mag, q.Place
		}
	}
	f.Mean = math.Round(sum/float64(len(quakes))*100) / 100
	return f
}

// top gets the answers of all calls of region, null for a skipped one.
func top(ctx *uniflow.Context) error {
	var with struct {
		Regions []*struct {
			Figures figures `json:"figures"`
		} `json:"regions"`
		Limit int `json:"limit"`
	}
	if err := ctx.DecodeWith(&with); err != nil {
		return err
	}
	var all []figures
	for _, r := range with.Regions {
		if r != nil {
			all = append(all, r.Figures)
		}
	}
	if len(all) == 0 {
		return uniflow.Skip("every region was quiet")
	}
	ranked := rank(all, with.Limit)
	ctx.Info("the strongest was %.1f, %s", ranked[0].Strongest, ranked[0].Where)
	if err := ctx.Output("strongest", ranked[0]); err != nil {
		return err
	}
	return ctx.Output("ranking", ranked)
}

// rank orders regions by their strongest earthquake; limit 0 keeps all.
func rank(all []figures, limit int) []figures {
	ranked := slices.Clone(all)
	slices.SortStableFunc(ranked, func(a, b figures) int {
		return cmp.Or(cmp.Compare(b.Strongest, a.Strongest), b.Count-a.Count, strings.Compare(a.Region, b.Region))
	})
	if limit > 0 && limit < len(ranked) {
		ranked = ranked[:limit]
	}
	return ranked
}
