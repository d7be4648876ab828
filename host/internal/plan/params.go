package plan

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/expr"
)

func paramTypes() []string {
	return []string{"string", "integer", "number", "boolean", "list", "object"}
}

// Context lays values over the context of a plan, key by key, and checks the result against the params. The result is
// what a run receives. The error is a *flow.Error that names every key that does not fit.
func Context(p *flow.Plan, values map[string]json.RawMessage) (map[string]json.RawMessage, error) {
	merged := laid(p.Context, values)
	var messages []string
	help := ""
	for _, bad := range contextProblems(p.Params, merged) {
		messages = append(messages, bad.message)
		help = first(help, bad.help)
	}
	if lacking := lackingParams(p.Params, merged); len(lacking) > 0 {
		messages = append(messages, joinWords(lacking)+" must be given")
		help = first(help, fmt.Sprintf("--set %s=VALUE", lacking[0]))
	}
	if messages != nil {
		return nil, &flow.Error{Code: flow.CodeContext, Op: fmt.Sprintf("context of pipeline %q", p.ID()), Message: strings.Join(messages, "; "), Hint: help}
	}
	return merged, nil
}

// ParseSet reads NAME=VALUE as --set takes it. The value is read by the type of the param: a string as it is,
// anything else as JSON. Without a param of that name it is JSON if it can be read as such, and a string otherwise.
// Whether the value fits its param is for Context to say. The error is a *flow.Error.
func ParseSet(text string, params map[string]flow.Param) (name string, value json.RawMessage, err error) {
	name, word, ok := strings.Cut(text, "=")
	if !ok || name == "" {
		return "", nil, &flow.Error{Code: flow.CodeContext, Op: "set " + strconv.Quote(text), Message: "expected NAME=VALUE", Hint: "--set year=2013"}
	}
	raw := json.RawMessage(word)
	if params[name].Type != "string" && json.Valid(raw) {
		return name, raw, nil
	}
	return name, encode(word), nil
}

// params checks the definitions of params, and the pipeline's context against them.
func (b *builder) params(at key, p *flow.Plan, context map[string]json.RawMessage) {
	defaults := map[string]json.RawMessage{}
	for _, name := range slices.Sorted(maps.Keys(p.Params)) {
		param := p.Params[name]
		b.param(at.to("params", name), name, param)
		if param.Default != nil {
			defaults[name] = param.Default
		}
	}
	for _, bad := range contextProblems(p.Params, context) {
		b.fail(flow.CodeContext, at.to("context", bad.key), bad.help, "%s", bad.message)
	}
	p.Context = laid(defaults, context)
}

// param refuses a param that contradicts itself.
func (b *builder) param(at key, name string, p flow.Param) {
	if !slices.Contains(paramTypes(), p.Type) {
		b.fail(flow.CodeParam, at.to("type"), first(expr.DidYouMean(p.Type, paramTypes())), "%q is no type of a param", p.Type)
		return
	}
	numeric := p.Type == "integer" || p.Type == "number"
	if !numeric && (p.Min != nil || p.Max != nil) {
		b.fail(flow.CodeParam, at, "min and max belong to integer and number", "param %q is of type %s and cannot have min or max", name, p.Type)
		return
	}
	if p.Min != nil && p.Max != nil && *p.Min > *p.Max {
		b.fail(flow.CodeParam, at.to("min"), "", "min %v of param %q is more than its max %v", *p.Min, name, *p.Max)
		return
	}
	for i, value := range p.Enum {
		if bad := misfit(name, value, flow.Param{Type: p.Type, Min: p.Min, Max: p.Max}); bad != "" {
			b.fail(flow.CodeParam, at.to("enum", strconv.Itoa(i)), "", "%s", bad)
		}
	}
	if p.Default == nil {
		return
	}
	if p.Required {
		b.fail(flow.CodeParam, at.to("required"), "remove required or default", "param %q has a default, so it is never missing", name)
	}
	if bad := misfit(name, p.Default, p); bad != "" {
		b.fail(flow.CodeParam, at.to("default"), "", "%s", bad)
	}
}

// misfitting is a key of a context that does not fit.
type misfitting struct{ key, message, help string }

// contextProblems checks the keys that are there, by name. A key without a param passes, unless it is so close to one
// that it is most likely mistyped.
func contextProblems(params map[string]flow.Param, context map[string]json.RawMessage) []misfitting {
	var found []misfitting
	names := slices.Sorted(maps.Keys(params))
	for _, name := range slices.Sorted(maps.Keys(context)) {
		if !utf8.Valid(context[name]) { // decoders let it pass, guests and their outputs do not
			found = append(found, misfitting{name, fmt.Sprintf("%q is not UTF-8", name), "write other characters as \\u escapes"})
			continue
		}
		param, ok := params[name]
		if ok {
			if bad := misfit(name, context[name], param); bad != "" {
				found = append(found, misfitting{key: name, message: bad})
			}
			continue
		}
		if !json.Valid(context[name]) {
			found = append(found, misfitting{key: name, message: fmt.Sprintf("%q is no JSON", name)})
		} else if near := expr.Nearest(name, names); near != "" {
			found = append(found, misfitting{name, fmt.Sprintf("no param is named %q", name), fmt.Sprintf("did you mean %q?", near)})
		}
	}
	return found
}

// lackingParams are the required params that a complete context does not hold.
func lackingParams(params map[string]flow.Param, context map[string]json.RawMessage) []string {
	var lacking []string
	for _, name := range slices.Sorted(maps.Keys(params)) {
		if _, ok := context[name]; params[name].Required && !ok {
			lacking = append(lacking, name)
		}
	}
	return lacking
}

// misfit says why a value does not fit its param, or "".
func misfit(name string, raw json.RawMessage, p flow.Param) string {
	value, err := decode(raw)
	if err != nil {
		return fmt.Sprintf("%q is no JSON", name)
	}
	if kind := typeOfValue(value); kind != p.Type && (kind != "integer" || p.Type != "number") {
		return fmt.Sprintf("%q must be of type %s; found %s %s", name, p.Type, kind, clip(raw))
	}
	if number, ok := value.(json.Number); ok {
		f, err := number.Float64()
		_, tooLong := strconv.ParseInt(number.String(), 10, 64)
		switch {
		case err != nil || p.Type == "integer" && tooLong != nil:
			return fmt.Sprintf("%q is %s, which is too large", name, clip(raw))
		case p.Min != nil && f < *p.Min:
			return fmt.Sprintf("%q is %s; it must be at least %v", name, number, *p.Min)
		case p.Max != nil && f > *p.Max:
			return fmt.Sprintf("%q is %s; it must be at most %v", name, number, *p.Max)
		}
	}
	if p.Enum != nil && !slices.ContainsFunc(p.Enum, func(e json.RawMessage) bool { return bytes.Equal(canonical(e), canonical(raw)) }) {
		words := make([]string, len(p.Enum))
		for i, e := range p.Enum {
			words[i] = string(e)
		}
		return fmt.Sprintf("%q is %s; it must be one of %s", name, clip(raw), clip([]byte(strings.Join(words, ", "))))
	}
	return ""
}

// typeOfValue is the word for the type of a decoded value.
func typeOfValue(v any) string {
	switch v := v.(type) {
	case string:
		return "string"
	case bool:
		return "boolean"
	case []any:
		return "list"
	case map[string]any:
		return "object"
	case json.Number:
		if strings.ContainsAny(v.String(), ".eE") {
			return "number"
		}
		return "integer"
	}
	return "null"
}

// clip shortens JSON for a message.
func clip(raw []byte) string {
	const most = 60
	if runes := []rune(string(raw)); len(runes) > most {
		return string(runes[:most]) + "..."
	}
	return string(raw)
}
