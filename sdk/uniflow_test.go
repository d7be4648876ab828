package uniflow_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/sdk"
	"github.com/uniflow-dev/uniflow/sdk/abi"
	"github.com/uniflow-dev/uniflow/sdk/abi/abitest"
	"github.com/uniflow-dev/uniflow/sdk/sdktest"
)

func run(t *testing.T, in sdktest.Input, step func(*uniflow.Context) error) sdktest.Result {
	t.Helper()
	result, err := sdktest.Run(step, in)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func TestEndingsBecomeVerdicts(t *testing.T) {
	t.Parallel()
	why := errors.New("why")
	long := strings.Repeat("\x01", 2*abi.MaxMessage)
	for name, c := range map[string]struct {
		err  error
		want abi.Verdict
	}{
		"none":            {nil, abi.Verdict{}},
		"plain":           {why, abi.Verdict{Kind: abi.KindFailed, Message: "why"}},
		"skip":            {uniflow.Skip("no news"), abi.Verdict{Kind: abi.KindSkip, Message: "no news"}},
		"retry":           {uniflow.Retry(why, 0), abi.Verdict{Kind: abi.KindRetry, Message: "why"}},
		"retry later":     {uniflow.Retry(why, time.Second), abi.Verdict{Kind: abi.KindRetry, Message: "why", RetryAfter: time.Second}},
		"permanent":       {uniflow.Permanent(why), abi.Verdict{Kind: abi.KindPermanent, Message: "why"}},
		"wrapped":         {fmt.Errorf("row 7: %w", uniflow.Permanent(why)), abi.Verdict{Kind: abi.KindPermanent, Message: "row 7: why"}},
		"code":            {&uniflow.Ending{Kind: abi.KindFailed, Code: "E7", Err: why}, abi.Verdict{Kind: abi.KindFailed, Code: "E7", Message: "why"}},
		"ending as ok":    {&uniflow.Ending{Err: why}, abi.Verdict{Kind: abi.KindFailed, Message: "why"}},
		"text like JSON":  {errors.New(`{"message":"x"}`), abi.Verdict{Kind: abi.KindFailed, Message: `{"message":"x"}`}},
		"too long a text": {errors.New(long), abi.Verdict{Kind: abi.KindFailed, Message: long[:abi.MaxMessage]}},
		"too long a code": {uniflow.Retry(errors.New(long), time.Second), abi.Verdict{Kind: abi.KindRetry, Message: long[:abi.MaxMessage/8], RetryAfter: time.Second}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := run(t, sdktest.Input{}, func(*uniflow.Context) error { return c.err }).Verdict
			if got != c.want {
				t.Errorf("verdict %.200q, want %.200q", fmt.Sprint(got), fmt.Sprint(c.want))
			}
		})
	}
}

func TestOutputsStayWithASkipOnly(t *testing.T) {
	t.Parallel()
	for _, err := range []error{nil, uniflow.Skip("x"), errors.New("x"), uniflow.Retry(errors.New("x"), 0)} {
		result := run(t, sdktest.Input{}, func(ctx *uniflow.Context) error {
			if err := ctx.Output("a", 1); err != nil {
				return err
			}
			return err
		})
		kept := result.Output("a", new(int)) == nil
		if want := result.Verdict.Kind == abi.KindOK || result.Verdict.Kind == abi.KindSkip; kept != want {
			t.Errorf("%s: outputs kept: %v, want %v", result.Verdict.Kind, kept, want)
		}
	}
}

func TestOutputSaysWhyItIsRefused(t *testing.T) {
	t.Parallel()
	run(t, sdktest.Input{Limits: abi.Limits{OutputBytes: 8}}, func(ctx *uniflow.Context) error {
		if err := ctx.Output("a", "a long text"); !errors.Is(err, abi.TooLarge) {
			t.Errorf("long value: %v", err)
		}
		if err := ctx.Output("", 1); !errors.Is(err, abi.Invalid) {
			t.Errorf("no name: %v", err)
		}
		if err := ctx.Output("a", math.NaN()); err == nil {
			t.Error("NaN was accepted")
		}
		return nil
	})
}

func TestContextGivesWhatTheRunWasGiven(t *testing.T) {
	t.Parallel()
	in := sdktest.Input{
		Context: map[string]any{"year": 2015}, With: map[string]any{"rows": []int{1, 2}}, Item: "b",
		Run: abi.RunContext{Pipeline: "weather", Attempt: 2},
	}
	run(t, in, func(ctx *uniflow.Context) error {
		var context struct{ Year int }
		var with struct{ Rows []int }
		var item string
		if err := errors.Join(ctx.DecodeContext(&context), ctx.DecodeWith(&with), ctx.DecodeItem(&item)); err != nil {
			t.Error(err)
		}
		if context.Year != 2015 || !slices.Equal(with.Rows, []int{1, 2}) || item != "b" {
			t.Errorf("got %v %v %q", context, with, item)
		}
		if ctx.Pipeline != "weather" || ctx.Attempt != 2 || ctx.MaxAttempts != 2 || ctx.ABI != abi.Version {
			t.Errorf("run context %+v", ctx.RunContext)
		}
		return nil
	})
}

func TestInputsOfAnotherShapeFailForGood(t *testing.T) {
	t.Parallel()
	for name, step := range map[string]func(*uniflow.Context) error{
		"with": func(ctx *uniflow.Context) error { return ctx.DecodeWith(new([]int)) },
		"item": func(ctx *uniflow.Context) error { return ctx.DecodeItem(new(int)) },
	} {
		got := run(t, sdktest.Input{}, step).Verdict
		if got.Kind != abi.KindPermanent || !strings.Contains(got.Message, name) {
			t.Errorf("%s: verdict %+v", name, got)
		}
	}
}

func TestCallReachesTheService(t *testing.T) {
	t.Parallel()
	in := sdktest.Input{Call: func(op string, request, body []byte) ([]byte, error) {
		if op == abi.OpStateGet {
			return []byte(`{"value":"` + string(request) + `"}`), nil
		}
		return body, fmt.Errorf("not granted: %w", abi.Denied)
	}}
	run(t, in, func(ctx *uniflow.Context) error {
		var got struct{ Value string }
		if err := ctx.Call(abi.OpStateGet, 7, &got); err != nil || got.Value != "7" {
			t.Errorf("got %q, %v", got.Value, err)
		}
		if err := ctx.Call(abi.OpStateGet, 7, &got.Value); err == nil {
			t.Error("a response of another shape was accepted")
		}
		if _, err := ctx.CallBytes(abi.OpHTTPRequest, nil, []byte("x")); !errors.Is(err, abi.Denied) {
			t.Errorf("got %v, want denied", err)
		}
		return nil
	})
	run(t, sdktest.Input{}, func(ctx *uniflow.Context) error {
		if err := ctx.Call("new.op", nil, nil); !errors.Is(err, abi.UnknownOp) {
			t.Errorf("got %v, want unknown_op", err)
		}
		return nil
	})
}

func TestProgressAndLogs(t *testing.T) {
	t.Parallel()
	result := run(t, sdktest.Input{Cancel: true}, func(ctx *uniflow.Context) error {
		ctx.Debug("d%d", 1)
		ctx.Warn("w")
		ctx.Error("e\xff")
		for _, done := range []float64{-1, math.NaN(), 0.25, 7} {
			if !ctx.Progress(done, "") {
				t.Error("a cancelled attempt was not told")
			}
		}
		return nil
	})
	want := []sdktest.Log{{Level: abi.LevelDebug, Message: "d1"}, {Level: abi.LevelWarn, Message: "w"}, {Level: abi.LevelError, Message: "e\uFFFD"}}
	if !slices.Equal(result.Logs, want) {
		t.Errorf("logs %v", result.Logs)
	}
	if !slices.Equal(result.Permille, []int{0, 0, 250, 1000}) {
		t.Errorf("progress %v", result.Permille)
	}
}

func TestContextVectorsReachTheStep(t *testing.T) {
	t.Parallel()
	for _, c := range abitest.Load[abitest.ContextCase](t, "abi/testdata", "context.json") {
		if c.Error != "" {
			continue
		}
		given, err := abi.DecodeRunContext(c.Document)
		if err != nil {
			t.Fatal(err)
		}
		run(t, sdktest.Input{Run: given}, func(ctx *uniflow.Context) error {
			var item bytes.Buffer
			if err := json.Compact(&item, given.Item); given.Item != nil && err != nil {
				t.Error(err)
			}
			if ctx.Step != given.Step || ctx.Attempt != given.Attempt || given.Item != nil && string(ctx.Item) != item.String() {
				t.Errorf("%s: the step sees %+v", c.Name, ctx.RunContext)
			}
			return nil
		})
	}
}

func TestInputMustBeJSON(t *testing.T) {
	t.Parallel()
	if _, err := sdktest.Run(nil, sdktest.Input{With: json.RawMessage("{")}); err == nil {
		t.Error("a broken input was accepted")
	}
}
