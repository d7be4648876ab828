package manifest

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// form checks which keys of a table go together.
func (b *binder) form(t reflect.Type, tree map[string]any, path []string) {
	switch t {
	case reflect.TypeFor[flow.Plugin]():
		b.exactlyOne(tree, path, flow.CodePluginSource, "plugin", "wasm", "process", "script")
		b.engine(tree, path)
		b.build(tree, path)
	case reflect.TypeFor[flow.Step]():
		b.exactlyOne(tree, path, flow.CodeStepSource, "step", "plugin", "wasm", "process")
	case reflect.TypeFor[flow.Pipeline]():
		b.pipeline(tree, path)
	}
}

// exactlyOne reports none or more than one of the keys that name what is called.
func (b *binder) exactlyOne(tree map[string]any, path []string, code flow.Code, kind string, keys ...string) {
	found := b.inOrder(tree, path, keys)
	name := quoted(path[len(path)-1])
	switch {
	case len(found) == 0 && !anyPresent(tree, keys):
		b.mistake(flow.Problem{
			Code: code, Path: path, OnKey: true, Message: fmt.Sprintf("%s %s has none of %s", kind, name, oneOf(keys)),
			Help: fmt.Sprintf("add one of the keys %s", oneOf(keys)),
		})
	case len(found) > 1:
		b.mistake(flow.Problem{
			Code: code, Path: join(path, found[1]), OnKey: true,
			Message: fmt.Sprintf("%s %s has %s", kind, name, both(found)), Note: "expected one of them", Help: "remove all but one",
		})
	}
}

func anyPresent(tree map[string]any, keys []string) bool {
	return slices.ContainsFunc(keys, func(key string) bool { return present(tree, key) })
}

// both lists words that stand together: both a and b; a, b and c.
func both(words []string) string {
	last := len(words) - 1
	list := strings.Join(words[:last], ", ") + " and " + words[last]
	if last == 1 {
		return "both " + list
	}
	return list
}

// inOrder returns those of keys that a table holds, as they stand in the text.
func (b *binder) inOrder(tree map[string]any, path, keys []string) []string {
	var found []string
	for _, key := range keys {
		if _, ok := tree[key]; ok {
			found = append(found, key)
		}
	}
	start := func(key string) int {
		e, _ := b.doc.root.lookup(join(path, key))
		return e.key.start
	}
	slices.SortStableFunc(found, func(a, b string) int { return start(a) - start(b) })
	return found
}

func (b *binder) engine(tree map[string]any, path []string) {
	_, script := tree["script"]
	_, engine := tree["engine"]
	switch {
	case script && !engine && !present(tree, "engine"):
		b.mistake(flow.Problem{
			Code: flow.CodeScriptEngine, Path: join(path, "script"), OnKey: true, Message: "a script without an engine",
			Note: "which plugin executes it?", Help: `add engine = "NAME" of a plugin, as in engine = "python"`,
		})
	case engine && !script && !present(tree, "script"):
		b.mistake(flow.Problem{
			Code: flow.CodeScriptEngine, Path: join(path, "engine"), OnKey: true, Message: "an engine without a script",
			Help: "add script, or remove engine",
		})
	}
}

// pipeline demands steps or one module, and keys that fit the one it is.
func (b *binder) pipeline(tree map[string]any, path []string) {
	sources := []string{"wasm", "process", "plugin", "script"}
	steps, _ := tree["steps"].(map[string]any)
	b.engine(tree, path)
	if len(steps) == 0 {
		if !oddSteps(tree) {
			b.oneModule(tree, path, sources)
		}
		return
	}
	for _, key := range b.inOrder(tree, path, sources) {
		b.mistake(flow.Problem{
			Code: flow.CodePipelineSource, Path: join(path, key), OnKey: true,
			Message: fmt.Sprintf("pipeline %s has both steps and %s", quoted(path[len(path)-1]), key),
			Note:    "expected one of them", Help: "make the module a step of its own, or remove the steps",
		})
	}
	for _, key := range b.inOrder(tree, path, []string{"function", "with", "grant"}) {
		where := "on a step"
		if key == "grant" {
			where = "on the plugin"
		}
		b.mistake(flow.Problem{
			Code: flow.CodeOnlyOneModule, Path: join(path, key), OnKey: true,
			Message: fmt.Sprintf("%s on a pipeline that has steps", key), Help: fmt.Sprintf("write %s %s", key, where),
		})
	}
}

// oddSteps tells that steps are there but could not be read, which has been said.
func oddSteps(tree map[string]any) bool {
	val, ok := tree["steps"]
	_, isTable := val.(map[string]any)
	return ok && !isTable || !ok && present(tree, "steps")
}

func (b *binder) oneModule(tree map[string]any, path, sources []string) {
	if anyPresent(tree, sources) {
		b.exactlyOne(tree, path, flow.CodePipelineSource, "pipeline", sources...)
	} else {
		b.mistake(flow.Problem{
			Code: flow.CodePipelineSource, Path: path, OnKey: true,
			Message: fmt.Sprintf("pipeline %s has neither steps nor a module", quoted(path[len(path)-1])),
			Help:    fmt.Sprintf("add [%s.steps.NAME], or one of the keys %s", dotted(path), oneOf(sources)),
		})
	}
	if _, ok := tree["order"]; ok {
		b.mistake(flow.Problem{
			Code: flow.CodeOnlyOneModule, Path: join(path, "order"), OnKey: true, Message: "order on a pipeline without steps",
			Help: "remove it: there is one call only",
		})
	}
}

// build demands a command behind the settings of its environment.
func (b *binder) build(tree map[string]any, path []string) {
	words, ok := tree["build"].([]any)
	if !ok {
		return
	}
	for _, word := range words {
		if text, ok := word.(string); !ok || !isSetting(text) {
			return // the command's own words; one of another type has been reported
		}
	}
	b.mistake(flow.Problem{
		Code: flow.CodeBadBuild, Path: join(path, "build"), Message: "build holds no command",
		Note: "expected at least one word that is no NAME=value", Help: `write the command as words: build = ["make", "-C", "clean"]`,
	})
}

// isSetting tells whether a word sets a variable of a command's environment.
func isSetting(word string) bool {
	name, _, ok := strings.Cut(word, "=")
	return ok && nameVariable.check(name) == ""
}
