package main

import (
	"encoding/json"
	"testing"

	"github.com/uniflow-dev/uniflow/sdk"
	"github.com/uniflow-dev/uniflow/sdk/abi"
	"github.com/uniflow-dev/uniflow/sdk/sdktest"
)

func run(t *testing.T, step func(*uniflow.Context) error, in sdktest.Input) sdktest.Result {
	t.Helper()
	result, err := sdktest.Run(step, in)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func TestFiguresOfARegion(t *testing.T) {
	t.Parallel()
	result := run(t, region, sdktest.Input{Item: json.RawMessage(
		`{"name":"Chile","quakes":[{"mag":2.5,"place":"a","depth":10},{"mag":4.1,"place":"b","depth":-1},{"mag":4,"place":"c","depth":99.5}]}`)})
	var got figures
	if err := result.Output("figures", &got); err != nil {
		t.Fatal(err)
	}
	want := figures{Region: "Chile", Count: 3, Strongest: 4.1, Mean: 3.53, Deepest: 99.5, Where: "b"}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestAllNegativeMagnitudesHaveAStrongest(t *testing.T) {
	t.Parallel()
	got := figuresOf("x", []quake{{Mag: -0.5, Place: "a", Depth: -2}, {Mag: -0.25, Place: "b", Depth: -3}})
	if got.Strongest != -0.25 || got.Where != "b" || got.Deepest != -2 {
		t.Errorf("got %+v", got)
	}
}

func TestTheRankingLeavesOutSkippedRegions(t *testing.T) {
	t.Parallel()
	result := run(t, top, sdktest.Input{With: json.RawMessage(`{"limit":2,"regions":[
		{"figures":{"region":"a","count":1,"strongest":4}}, null,
		{"figures":{"region":"b","count":1,"strongest":6}}, {"figures":{"region":"c","count":2,"strongest":4}}]}`)})
	var ranking []figures
	if err := result.Output("ranking", &ranking); err != nil {
		t.Fatal(err)
	}
	if len(ranking) != 2 || ranking[0].Region != "b" || ranking[1].Region != "c" {
		t.Errorf("ranking %+v", ranking)
	}
}

func TestNothingToDoIsASkip(t *testing.T) {
	t.Parallel()
	quiet := run(t, region, sdktest.Input{Item: map[string]any{"name": "Peru"}}).Verdict
	if quiet.Kind != abi.KindSkip || quiet.Message != "Peru was quiet" {
		t.Errorf("verdict %+v", quiet)
	}
	if got := run(t, top, sdktest.Input{With: json.RawMessage(`{"regions":[null]}`)}).Verdict.Kind; got != abi.KindSkip {
		t.Errorf("verdict %s", got)
	}
	if got := run(t, region, sdktest.Input{}).Verdict.Kind; got != abi.KindPermanent {
		t.Errorf("without an item: verdict %s", got)
	}
}
