package expr

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/uniflow-dev/uniflow/host/flow"
)

func TestTreeKeepsShapeAndFindsAllMistakes(t *testing.T) {
	t.Parallel()
	scope := NewScope(weather())
	tree, err := scope.Tree(json.RawMessage(`{"z":[1.50,"${steps.load.rows[0].a}",{"k":"x${item.n}"}],"a":"$${k}","${x}":null,"u":"\u0024{item.k}","e":{},"l":[]}`))
	if err != nil {
		t.Fatal(err)
	}
	got, err := tree.JSON(t.Context(), values())
	want := `{"${x}":null,"a":"${k}","e":{},"l":[],"u":"v","z":[1.50,2.50,{"k":"x2"}]}`
	if err != nil || string(got) != want {
		t.Errorf("got %s, %v; want %s", got, err, want)
	}

	_, err = scope.Tree(json.RawMessage(`{"b":["ok","${steps.nope.x} ${1 +}"],"a":{"c":"${"}}`))
	var errs Errors
	if !errors.As(err, &errs) {
		t.Fatalf("got %v", err)
	}
	var places []string
	for _, e := range errs {
		places = append(places, strings.Join(e.Path, ".")+" "+string(e.Code))
	}
	wantPlaces := []string{"a.c " + string(flow.CodeExprSyntax), "b.1 " + string(flow.CodeExprStep), "b.1 " + string(flow.CodeExprSyntax)}
	if !reflect.DeepEqual(places, wantPlaces) {
		t.Errorf("got %v, want %v", places, wantPlaces)
	}
}

func TestReferencesNameStepsAndOutputs(t *testing.T) {
	t.Parallel()
	tree, err := NewScope(weather()).Tree(json.RawMessage(`["${steps.load.rows[0].x}", "é ${size(steps[\"load\"]['s']) + size(steps.months)} ${steps.load}", "${context.tags.map(steps, steps + 'x')} ${has(steps.load.count)}"]`))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range tree.References() {
		got = append(got, fmt.Sprintf("%v %s.%s @%d+%d", r.Path, r.Step, r.Output, r.Offset, r.Length))
	}
	want := []string{
		"[0] load.rows @2+20",
		"[1] load.s @10+18", "[1] months. @37+12", "[1] load. @54+10",
		"[2] load.count @46+16",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestConditions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in   string
		want any
	}{
		{"steps.load.count > 0", true},
		{"context.year > 2015", false},
		{"context.dry", true},
		{"steps.load.count == 3 && context.year == 2015", true},
		{"steps.load.total == 4", true},
		{"context.free > 6 && context.ratio < 1", true},
		{`run.trigger == "schedule" && run.scheduled_at > timestamp("2026-01-01T00:00:00Z")`, true},
		{`failed.exists(f, f == "load")`, true},
		{`steps.months.exists(m, m != null && m.n > 2)`, true},
		{"context.year", "a condition is true or false; this is an integer; compare it with something, as in steps.load.count > 0"},
		{"context.year + 1", "a condition is true or false; this is an integer; compare it with something, as in steps.load.count > 0"},
		{"${context.dry}", "a condition is an expression by itself; leave ${ and } out"},
		{"", "the expression is empty"},
		{"context.yaer > 1", `no param is named "yaer"; did you mean "year"?`},
		{"steps.load.count", "a condition is true or false; this is a number"},
		{"steps.load.s", "a condition is true or false; this is a string"},
	} {
		var got any
		condition, err := NewScope(weather()).Condition(c.in)
		if err == nil {
			got, err = condition.Bool(t.Context(), values())
		}
		if err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s: got %v, want %v", c.in, got, c.want)
		}
	}
}

func TestEachYieldsAList(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, want string }{
		{"${steps.load.rows}", `[{"b":1,"a":2.50} {"x":12345678901234567890}]`},
		{"${context.tags.map(x, x + x)}", `["aa" "bb"]`},
		{"${[]}", "[]"},
		{"${steps.load.count}", "expected a list, found a number"},
		{"${context.year}", "each must be a list; this is an integer; each makes one call per element of a list"},
		{"${1 + 1}", "each must be a list; this is an integer; each makes one call per element of a list"},
		{"steps.load.rows", `each is one ${...} that yields a list; write each = "${steps.NAME.OUTPUT}"`},
		{"a${steps.load.rows}", `each is one ${...} that yields a list; write each = "${steps.NAME.OUTPUT}"`},
	} {
		template, err := NewScope(weather()).Each(c.in)
		var list []json.RawMessage
		if err == nil {
			list, err = template.List(t.Context(), values())
		}
		got := fmt.Sprintf("%s", list)
		if err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s: got %s, want %s", c.in, got, c.want)
		}
	}
}

func TestNamesOfTheirPlace(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		env      Env
		in, want string
	}{
		{Env{}, "steps.load.count > 0", "steps.load does not exist yet; the pipeline's when runs before every step; move the condition to a step's when"},
		{Env{Self: "a"}, "item.x > 0", `item is not known here: the step has no each; item stands for one element of a step with each = "${...}"`},
		{Env{Self: "a"}, "failed", `failed is not known here; the list of failed steps exists in steps with on = "failure" or on = "always"`},
	} {
		_, err := NewScope(c.env).Condition(c.in)
		if err == nil || err.Error() != c.want {
			t.Errorf("%s: got %v, want %s", c.in, err, c.want)
		}
	}
}

func TestEvaluationEndsWithItsContext(t *testing.T) {
	t.Parallel()
	template, err := NewScope(weather()).Text("${context.tags.map(x, context.tags.map(y, x + y))}")
	if err != nil {
		t.Fatal(err)
	}
	stop := errors.New("the run was stopped")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(stop)
	if _, err := template.JSON(ctx, values()); !errors.Is(err, stop) {
		t.Errorf("got %v, want the cause", err)
	}
}

func TestOneTemplateServesManyRuns(t *testing.T) {
	t.Parallel()
	template, err := NewScope(weather()).Text("${steps.load.rows.map(r, has(r.a) ? r.a + 1 : 0)} ${item_index + 1}")
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for i := range 16 {
		group.Go(func() {
			v := values()
			v.Index = i
			for range 20 {
				got, err := template.Text(context.Background(), v)
				if want := fmt.Sprintf("[3.5,0] %d", i+1); err != nil || got != want {
					t.Errorf("got %s, %v; want %s", got, err, want)
					return
				}
			}
		})
	}
	group.Wait()
}

func TestValuesDoNotFitTheirParam(t *testing.T) {
	t.Parallel()
	v := values()
	v.Context["year"] = json.RawMessage(`"2015"`)
	condition, err := NewScope(weather()).Condition("context.year > 2000")
	if err != nil {
		t.Fatal(err)
	}
	_, err = condition.Bool(t.Context(), v)
	if want := "${context.year > 2000}: context.year: expected an integer, found a string"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestNearestName(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, want string }{{"laod", "load"}, {"lod", "load"}, {"summarize", "summarise"}, {"xyz", ""}, {"load", "load"}, {"", ""}} {
		if got := Nearest(c.in, []string{"load", "summarise"}); got != c.want {
			t.Errorf("%q: got %q, want %q", c.in, got, c.want)
		}
	}
}

// What compiles also evaluates within its bounds, and its result is JSON; what does not compile has its place in the text.
func FuzzText(f *testing.F) {
	for _, seed := range []string{
		"${steps.load.rows[0].b + 1}", "a$${b}${item}", `${"}" + r'\'}`, "${{'a': [1, steps.load.count]}}", "${context.tags.map(x, [x, x])}",
		"${has(steps.load.x) ? 1 : item_index}", "é${1 +}", "${// }\n1}", `${b"x"}`, "${steps.months.filter(m, m != null).map(m, m.n * 2)}", "${type(dyn(1))}", "${1u + 1u}",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		template, err := NewScope(weather()).Text(text)
		if errs, ok := errors.AsType[Errors](err); ok {
			for _, e := range errs {
				if e.Offset < 0 || e.Length < 0 || e.Offset+e.Length > len(text) || e.Message == "" {
					t.Fatalf("%q: mistake %+v is outside of the text", text, e)
				}
			}
			return
		}
		got, err := template.JSON(t.Context(), values())
		if err == nil && !json.Valid(got) {
			t.Fatalf("%q: got %q, which is no JSON", text, got)
		}
		again, err2 := template.JSON(t.Context(), values())
		if (err == nil) != (err2 == nil) || string(got) != string(again) {
			t.Fatalf("%q: got %s, then %s", text, got, again)
		}
	})
}
