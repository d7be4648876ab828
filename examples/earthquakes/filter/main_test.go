package main

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/uniflow-dev/uniflow/sdk"
	"github.com/uniflow-dev/uniflow/sdk/abi"
	"github.com/uniflow-dev/uniflow/sdk/sdktest"
)

func run(t *testing.T, least float64, feed string) sdktest.Result {
	t.Helper()
	result, err := sdktest.Run(func(ctx *uniflow.Context) error {
		return filter(ctx, strings.NewReader(feed))
	}, sdktest.Input{Context: map[string]any{"min_magnitude": least}})
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func realFeed(t *testing.T) string {
	t.Helper()
	feed, err := os.ReadFile("../quakes/earthquakes.json")
	if err != nil {
		t.Fatal(err)
	}
	return string(feed)
}

func TestTheWeekHasItsBusyRegions(t *testing.T) {
	t.Parallel()
	feed := realFeed(t)
	result := run(t, 2.5, feed)
	var regions []region
	if err := result.Output("regions", &regions); err != nil {
		t.Fatal(err)
	}
	if len(regions) != maxRegions || regions[0].Name != "Alaska" {
		t.Fatalf("%d regions, the first is %q", len(regions), regions[0].Name)
	}
	for i, r := range regions {
		if i > 0 && len(r.Quakes) > len(regions[i-1].Quakes) {
			t.Errorf("%s comes after a quieter region", r.Name)
		}
		for j, q := range r.Quakes {
			if q.Mag < 2.5 || j > 0 && q.Mag > r.Quakes[j-1].Mag || regionOf(q.Place) != r.Name || q.Time.Year() != 2018 {
				t.Errorf("%s: %+v does not belong at %d", r.Name, q, j)
			}
		}
	}
	if again := run(t, 2.5, feed); !bytes.Equal(again.Outputs["regions"], result.Outputs["regions"]) {
		t.Error("the same feed gives another answer")
	}
}

const small = `{"features":[
 {"properties":{"mag":5,"place":"4km W of Castaic, CA","time":1517966773840,"type":"earthquake"},"geometry":{"coordinates":[1,2,26.49]}},
 {"properties":{"mag":2,"place":"Reykjanes Ridge","time":1517966773840,"type":"earthquake"},"geometry":{"coordinates":[1,2,10]}},
 {"properties":{"mag":null,"place":"Nowhere, CA","time":1,"type":"earthquake"},"geometry":{"coordinates":[1,2,3]}},
 {"properties":{"mag":7,"place":"A quarry, CA","time":1,"type":"quarry blast"},"geometry":{"coordinates":[1,2,3]}}]}`

func TestOnlyMeasuredEarthquakesCount(t *testing.T) {
	t.Parallel()
	var regions []region
	if err := run(t, 0, small).Output("regions", &regions); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, r := range regions {
		names = append(names, r.Name)
	}
	if !slices.Equal(names, []string{"California", "Reykjanes Ridge"}) || regions[0].Quakes[0].Depth != 26.49 {
		t.Errorf("regions %+v", regions)
	}
}

func TestVerdicts(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		least float64
		feed  string
		want  abi.Kind
	}{
		"some":        {5, small, abi.KindOK},
		"none":        {9, small, abi.KindSkip},
		"broken feed": {1, `{"features":`, abi.KindPermanent},
		"no depth":    {1, `{"features":[{"properties":{"mag":5,"type":"earthquake"},"geometry":{"coordinates":[1,2]}}]}`, abi.KindPermanent},
	} {
		if got := run(t, c.least, c.feed).Verdict; got.Kind != c.want {
			t.Errorf("%s: verdict %+v, want %s", name, got, c.want)
		}
	}
}

func TestRegions(t *testing.T) {
	t.Parallel()
	for place, want := range map[string]string{
		"4km W of Castaic, CA": "California", "Gulf of Alaska": "Gulf of Alaska", "a, b,  Chile ": "Chile", "": "",
	} {
		if got := regionOf(place); got != want {
			t.Errorf("%q is in %q, want %q", place, got, want)
		}
	}
}
