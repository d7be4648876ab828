package expr

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// weather is a scope as a step in the middle of a pipeline has it.
func weather() Env {
	return Env{
		Self: "summarise", Item: true, Failed: true,
		Params: map[string]flow.Param{"year": {Type: "integer"}, "ratio": {Type: "number"}, "name": {Type: "string"}, "tags": {Type: "list"}, "opts": {Type: "object"}, "dry": {Type: "boolean"}},
		Steps: map[string]Shape{
			"load":   {Outputs: map[string]string{"total": "integer"}},
			"months": {List: true, Outputs: map[string]string{"n": "integer"}},
		},
	}
}

func raws(pairs ...string) map[string]json.RawMessage {
	m := map[string]json.RawMessage{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = json.RawMessage(pairs[i+1])
	}
	return m
}

func values() *Values {
	at := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	return &Values{
		Context: raws("year", "2015", "ratio", "0.5", "name", `"Ada \"L\""`, "tags", `["a","b"]`, "opts", `{"z":1,"a":{"k":null}}`, "dry", "true", "free", "7", "big", "12345678901234567890123", "a-b", `"dash"`),
		Run:     Run{ID: "01J", Tenant: "default", Pipeline: "weather", Trigger: "schedule", ScheduledAt: at, StartedAt: at.Add(time.Second), IntervalEnd: &at},
		Steps: map[string]Outputs{
			"load":   {Named: raws("count", "3", "total", "4", "rows", `[{"b":1,"a":2.50},{"x":12345678901234567890}]`, "s", `"text"`, "none", "null")},
			"months": {List: []json.RawMessage{json.RawMessage(`{"n":1,"v":10}`), json.RawMessage("null"), json.RawMessage(`{"n":3,"v":30}`)}},
		},
		Item: json.RawMessage(`{"k":"v","n":2}`), Index: 1, Failed: []string{"load"},
	}
}

func TestValuesOfTemplates(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, want string }{
		{`plain`, `"plain"`},
		{`$${kept} $ {x} $$`, `"${kept} $ {x} $$"`},
		// Paths copy the stored bytes.
		{`${context.big}`, `12345678901234567890123`},
		{`${steps.load.rows}`, `[{"b":1,"a":2.50},{"x":12345678901234567890}]`},
		{`${ steps.load.rows[0] }`, `{"b":1,"a":2.50}`},
		{`${steps["load"]["rows"][1].x}`, `12345678901234567890`},
		{`${context["a-b"]}`, `"dash"`},
		{`${context.opts}`, `{"z":1,"a":{"k":null}}`},
		{`${item}`, `{"k":"v","n":2}`},
		{`${item.k}`, `"v"`},
		{`${item_index}`, `1`},
		{`${run.id}`, `"01J"`},
		{`${run.scheduled_at}`, `"2026-11-23T10:00:00Z"`},
		{`${failed}`, `["load"]`},
		{`${steps.load}`, `{"count":3,"none":null,"rows":[{"b":1,"a":2.50},{"x":12345678901234567890}],"s":"text","total":4}`},
		{`${steps.months}`, `[{"n":1,"v":10},null,{"n":3,"v":30}]`},
		{`${steps.months[2].v}`, `30`},
		// Mixed text.
		{`${context.name}-${context.year}/${context.dry}:${steps.load.none}`, `"Ada \"L\"-2015/true:null"`},
		{`a${item}b`, `"a{\"k\":\"v\",\"n\":2}b"`},
		// Braces and quotes inside of expressions.
		{`${"}" + '{' + r"\" + """}"}"""}`, `"}{\\}\"}"`},
		{`${{"b": 1, "a": {"c": "}"}}}`, `{"a":{"c":"}"},"b":1}`},
		{"${1 + // }\n 1}", `2`},
		// Numbers.
		{`${steps.load.count + 1}`, `4`},
		{`${1 + steps.load.count}`, `4`},
		{`${steps.load.count / 2}`, `1.5`},
		{`${(steps.load.count + 1) * 2 - 1}`, `7`},
		{`${steps.load.total / 3}`, `1`},
		{`${context.year / 2}`, `1007`},
		{`${context.free / 2}`, `3.5`},
		{`${context.ratio * 3}`, `1.5`},
		{`${double(context.year) / 2}`, `1007.5`},
		{`${double(context.year) / 2 + steps.load.count}`, `1010.5`},
		{`${(context.dry ? steps.load.count : 0) + 1}`, `4`},
		{`${[1, steps.load.count].map(x, x + 1)}`, `[2,4]`},
		{`${steps.load.rows.map(r, has(r.b) ? r.b + 1 : 0)}`, `[2,0]`},
		{`${int(steps.load.count) % 2}`, `1`},
		{`${steps.months.map(m, m == null ? 0 : m.n)}`, `[1,0,3]`},
		{`${steps.months.filter(m, m != null)[0].n + 1}`, `2`},
		{`${size(steps.load.rows) + 1}`, `3`},
		{`${-steps.load.count}`, `-3`},
		{`${steps.load.rows[item_index - 1].b == 1}`, `true`},
		{`${context.ratio in [1, 0.5]}`, `true`},
		{`${9007199254740993 + 0}`, `9007199254740993`},
		// Time and order.
		{`${run.scheduled_at.getFullYear()}`, `2026`},
		{`${run.started_at - run.scheduled_at}`, `"1s"`},
		{`${run.scheduled_at + duration("1h")}`, `"2026-11-23T11:00:00Z"`},
		{`${context.opts.map(k, k)}`, `["a","z"]`},
		{`${{"z": 1, "y": 2, "x": 3, "w": 4}.map(k, k)}`, `["w","x","y","z"]`},
		{`${has(run.interval_start)}`, `false`},
		{`${has(steps.load.other) || "load" in failed}`, `true`},
		{`${has(context.nope)}`, `false`},
		{`${steps.load.rows.map(item, item)[0].a}`, `2.5`},
		{`${context["a-b"] + "!"}`, `"dash!"`},
	} {
		template, err := NewScope(weather()).Text(c.in)
		if err != nil {
			t.Errorf("%s: %v", c.in, err)
			continue
		}
		got, err := template.JSON(t.Context(), values())
		if err != nil || string(got) != c.want {
			t.Errorf("%s: got %s, %v; want %s", c.in, got, err, c.want)
		}
	}
}

func TestMistakesAreNamedAndPlaced(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in, at string
		code   flow.Code
		want   string
	}{
		{`a ${steps.load.rows`, `${steps.load.rows`, flow.CodeExprSyntax, "${ has no end; close it with }, or write $${ for a literal ${"},
		{`${}`, ``, flow.CodeExprSyntax, "the expression is empty"},
		{`é ${1 + }`, ``, flow.CodeExprSyntax, "the expression is not well formed at its end"},
		{`${steps.lod.rows}`, `steps.lod.rows`, flow.CodeExprStep, `there is no step "lod"; did you mean "load"?`},
		{`é${1 > size(steps["lod"].rows)}`, `steps["lod"].rows`, flow.CodeExprStep, `there is no step "lod"; did you mean "load"?`},
		{`${steps.summarise.x}`, `steps.summarise.x`, flow.CodeExprName, `step "summarise" uses its own outputs; outputs exist when the step has ended; take what you need from another step`},
		{`${steps}`, `steps`, flow.CodeExprName, "steps needs the name of a step, written out; write steps.NAME.OUTPUT"},
		{`${steps[item.k]}`, `steps`, flow.CodeExprName, "steps needs the name of a step, written out; write steps.NAME.OUTPUT"},
		{`${contxt.year}`, `contxt`, flow.CodeExprName, `there is no name "contxt" here; did you mean "context"?`},
		{`${sise(context.tags)}`, ``, flow.CodeExprName, `there is no function "sise"; did you mean "size"?`},
		{`${run.schedule_at}`, `run.schedule_at`, flow.CodeExprName, `run.schedule_at does not exist; did you mean "scheduled_at"?`},
		{`${1 + "a"}`, ``, flow.CodeExprType, "+ does not work on integer, string; convert with string(...), int(...) or double(...)"},
		{`${context.year + context.name}`, ``, flow.CodeExprType, "+ does not work on integer, string; convert with string(...), int(...) or double(...)"},
		{`${context.year + steps.load.count}`, `context.year`, flow.CodeExprType, "an integer stands beside a value that is or may be a double; write double(...) around it"},
		{`${steps.load.count % 2}`, ``, flow.CodeExprType, "% works on integers only; numbers of outputs are doubles; write int(...) % n"},
		{`${dyn(1)}`, ``, flow.CodeExprType, "dyn() does not exist here; leave it out: values without a type are dynamic already"},
		{`${steps.months.n}`, `steps.months.n`, flow.CodeExprType, `step "months" has each, so its outputs are a list; take one element, steps.months[0].n, or map over the list: steps.months.map(s, s.n)`},
		{`${steps.load[0]}`, `steps.load[0]`, flow.CodeExprType, `the outputs of step "load" are no list; write steps.load.OUTPUT`},
		{`${context[item.k]}`, ``, flow.CodeExprType, "[...] does not work on object, any value"},
		{`${a.b{c: 1}}`, ``, flow.CodeExprSyntax, `there are no messages here; write a map: {"key": value}`},
		{`${has(context)}`, ``, flow.CodeExprSyntax, "has, map, filter, all and exists need arguments of a certain form; write has(steps.NAME.OUTPUT), list.map(x, ...), list.filter(x, ...), list.all(x, ...) or list.exists(x, ...)"},
		{"${" + strings.Repeat("(", 60) + "1" + strings.Repeat(")", 60) + "}", ``, flow.CodeExprBound, "the expression is nested deeper than 50 levels or has more than 10000 parts; compute it in a step"},
		{"${1" + strings.Repeat(" + 1", 1100) + "}", ``, flow.CodeExprBound, "an expression has at most 4 KiB; this has 4401 bytes; compute it in a step"},
	} {
		_, err := NewScope(weather()).Text(c.in)
		var errs Errors
		if !errors.As(err, &errs) || len(errs) != 1 {
			t.Errorf("%s: got %v, want one mistake", c.in, err)
			continue
		}
		e := errs[0]
		if e.Code != c.code || e.Error() != c.want {
			t.Errorf("%s:\n got %s %s\nwant %s %s", c.in, e.Code, e, c.code, c.want)
		}
		if e.Offset < 0 || e.Offset+e.Length > len(c.in) {
			t.Errorf("%s: place %d+%d is outside", c.in, e.Offset, e.Length)
		} else if got := c.in[e.Offset : e.Offset+e.Length]; c.at != "" && got != c.at {
			t.Errorf("%s: got place %q, want %q", c.in, got, c.at)
		}
	}
}

func TestFailuresOfEvaluation(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in   string
		code flow.Code
		want string
	}{
		{`${steps.load.row}`, flow.CodeExprValue, `${steps.load.row}: steps.load has no key "row"; did you mean "rows"?`},
		{`${steps.load.row + 1}`, flow.CodeExprValue, `${steps.load.row + 1}: steps.load has no key "row"; did you mean "rows"?`},
		{`${context.nope.deeper}`, flow.CodeExprValue, `${context.nope.deeper}: context has no key "nope"; known: a-b, big, dry, free, name, opts, ratio, tags, year`},
		{`${context.opts.a.q}`, flow.CodeExprValue, `${context.opts.a.q}: context.opts.a has no key "q"; did you mean "k"?`},
		{`${context.name.x}`, flow.CodeExprValue, `${context.name.x}: context.name is a string, so it has no key "x"`},
		{`${steps.load.rows[7]}`, flow.CodeExprValue, `${steps.load.rows[7]}: steps.load.rows has 2 elements; index 7 does not exist`},
		{`${steps.load.rows[7].a + 1}`, flow.CodeExprValue, `${steps.load.rows[7].a + 1}: steps.load.rows has 2 elements; index 7 does not exist`},
		{`${steps.months[9].v}`, flow.CodeExprValue, `${steps.months[9].v}: steps.months has 3 elements; steps.months[9].v does not exist`},
		{`${run.interval_start}`, flow.CodeExprValue, `${run.interval_start}: run has no key "interval_start"; known: id, interval_end, label, pipeline, project, schedule, scheduled_at, started_at, tenant, trigger, version`},
		{`${steps.load.s + 1}`, flow.CodeExprValue, `${steps.load.s + 1}: an operator or function does not fit the types of its values`},
		{`${1 / (context.year - 2015)}`, flow.CodeExprValue, `${1 / (context.year - 2015)}: division by zero`},
		{`${steps.load.count / 0}`, flow.CodeExprValue, `${steps.load.count / 0}: the result is not a finite number`},
		{`${9223372036854775807 + size(context.tags)}`, flow.CodeExprValue, `${9223372036854775807 + size(context.tags)}: a number is too large for its type`},
		{`${type(1)}`, flow.CodeExprValue, `${type(1)}: the result is no value that JSON can hold`},
		{`${[1].map(a, [2, 2].map(b, {a: b}))}`, flow.CodeExprValue, `${[1].map(a, [2, 2].map(b, {a: b}))}: the key of a map is a string here`},
	} {
		template, err := NewScope(weather()).Text(c.in)
		if err != nil {
			t.Errorf("%s: refused: %v", c.in, err)
			continue
		}
		got, err := template.JSON(t.Context(), values())
		e, ok := errors.AsType[*Error](err)
		if !ok || e.Code != c.code || e.Error() != c.want {
			t.Errorf("%s:\n got %s %v\nwant %s", c.in, got, err, c.want)
		}
	}
}

// Each of these takes a second or a gigabyte where nothing bounds it.
func TestHostileExpressionsAreBounded(t *testing.T) {
	t.Parallel()
	long := `context.tags` + strings.Repeat(`.map(a, context.tags)`, 3)
	double := strings.Repeat(`.map(a, [a, a])`, 60)
	concat := strings.Repeat(`.map(a, a + a)`, 60)
	v := values()
	v.Context["many"] = json.RawMessage("[" + strings.Repeat("1,", 3000) + "1]")
	for _, in := range []string{
		`${context.many.map(a, context.many.map(b, a + b))}`,
		`${[1]` + double + `}`,
		`${[[1]]` + concat + `}`,
		`${[1]` + double + ` == [1]` + double + `}`,
		`${3 in [[1]]` + concat + `[0]}`,
		`${context.many.map(a, context.many)}`,
		`${["x"].map(a, a + a)` + concat + `}`,
		`${context.many.exists(a, ` + strings.Repeat("a == 2.0 || ", 100) + `a == 3.0)}`,
		`${"` + strings.Repeat("a", 1000) + `".matches("(a+)+b") && ` + long + ` == [] }`,
	} {
		template, err := NewScope(weather()).Text(in)
		if err != nil {
			if codeIs(err, flow.CodeExprBound) {
				continue
			}
			t.Errorf("%.60s: %v", in, err)
			continue
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		got, err := template.JSON(ctx, v)
		if ctx.Err() != nil {
			t.Errorf("%.60s: went on until it was stopped", in)
		}
		cancel()
		if err == nil && len(got) > 1000 {
			t.Errorf("%.60s: got %d bytes", in, len(got))
		}
	}
}

// codeIs reports whether the first mistake has the code.
func codeIs(err error, code flow.Code) bool {
	var errs Errors
	return errors.As(err, &errs) && errs[0].Code == code
}
