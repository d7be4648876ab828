// Command filter reads the earthquakes of a week, keeps the ones that are
// strong enough, and groups them by region for the steps after it.
package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/uniflow-dev/uniflow/sdk"
)

// feed is where the manifest mounts the data.
const feed = "/quakes/earthquakes.json"

// maxRegions is how many regions the next step is called for.
const maxRegions = 12

// quake is one earthquake; depth is in kilometres.
type quake struct {
	Mag   float64   `json:"mag"`
	Place string    `json:"place"`
	Time  time.Time `json:"time"`
	Depth float64   `json:"depth"`
}

// region is a part of the world and its earthquakes, strongest first.
type region struct {
	Name   string  `json:"name"`
	Quakes []quake `json:"quakes"`
}

// collection is as much of the GeoJSON feed as is needed.
type collection struct {
	Features []struct {
		Properties struct {
			Mag   *float64 `json:"mag"` // null where it was not measured
			Place string   `json:"place"`
			Time  int64    `json:"time"` // milliseconds since 1970
			Type  string   `json:"type"` // also quarry blasts and explosions
		} `json:"properties"`
		Geometry struct {
			Coordinates []float64 `json:"coordinates"` // longitude, latitude, depth
		} `json:"geometry"`
	} `json:"features"`
}

func main() { uniflow.Main(step) }

func step(ctx *uniflow.Context) error {
	file, err := os.Open(feed)
	if err != nil {
		return fmt.Errorf("%w (the plugin needs a mount that holds it)", err)
	}
	defer file.Close()
	return filter(ctx, file)
}

func filter(ctx *uniflow.Context, feed io.Reader) error {
	var given struct {
		MinMagnitude float64 `json:"min_magnitude"`
	}
	if err := ctx.DecodeContext(&given); err != nil {
		return err
	}
	quakes, err := strongOnes(feed, given.MinMagnitude)
	if err != nil {
		return uniflow.Permanent(err)
	}
	if len(quakes) == 0 {
		return uniflow.Skip(fmt.Sprintf("no earthquake of magnitude %g or more", given.MinMagnitude))
	}
	regions := busiest(byRegion(quakes), maxRegions)
	ctx.Info("%d earthquakes of magnitude %g or more, %d regions kept", len(quakes), given.MinMagnitude, len(regions))
	if err := ctx.Output("count", len(quakes)); err != nil {
		return err
	}
	return ctx.Output("regions", regions)
}

// strongOnes returns the earthquakes of at least a magnitude.
func strongOnes(feed io.Reader, least float64) ([]quake, error) {
	var all collection
	if err := json.NewDecoder(feed).Decode(&all); err != nil {
		return nil, fmt.Errorf("read the feed: %w", err)
	}
	var quakes []quake
	for i, f := range all.Features {
		p := f.Properties
		if p.Type != "earthquake" || p.Mag == nil || *p.Mag < least {
			continue
		}
		if len(f.Geometry.Coordinates) != 3 {
			return nil, fmt.Errorf("feature %d has %d coordinates, want longitude, latitude and depth", i, len(f.Geometry.Coordinates))
		}
		quakes = append(quakes, quake{Mag: *p.Mag, Place: p.Place, Time: time.UnixMilli(p.Time).UTC(), Depth: f.Geometry.Coordinates[2]})
	}
	return quakes, nil
}

// byRegion groups earthquakes by the last part of their place.
func byRegion(quakes []quake) map[string][]quake {
	groups := map[string][]quake{}
	for _, q := range quakes {
		name := regionOf(q.Place)
		groups[name] = append(groups[name], q)
	}
	return groups
}

// regionOf returns what stands after the last comma: "4km W of Castaic, CA" is
// in California. The feed shortens only that one.
func regionOf(place string) string {
	name := strings.TrimSpace(place[strings.LastIndex(place, ",")+1:])
	if name == "CA" {
		return "California"
	}
	return name
}

// busiest returns the regions with the most earthquakes, in an order that
// depends on nothing else.
func busiest(groups map[string][]quake, most int) []region {
	regions := make([]region, 0, len(groups))
	for name, quakes := range groups {
		slices.SortFunc(quakes, func(a, b quake) int {
			return cmp.Or(cmp.Compare(b.Mag, a.Mag), a.Time.Compare(b.Time), strings.Compare(a.Place, b.Place))
		})
		regions = append(regions, region{name, quakes})
	}
	slices.SortFunc(regions, func(a, b region) int {
		return cmp.Or(len(b.Quakes)-len(a.Quakes), strings.Compare(a.Name, b.Name))
	})
	return regions[:min(len(regions), most)]
}
