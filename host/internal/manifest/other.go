package manifest

import (
	"reflect"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// ParseAs reads the text of another file that is written like a manifest: into points to a struct with `toml` tags,
// whose values follow the same rules of form. As with Parse, mistakes come all at once, each at its place, and a text
// that is no TOML gives no Document.
func ParseAs(name string, src []byte, into any) (*Document, flow.Problems) {
	doc, tree, problems := parse(name, src)
	if doc == nil {
		return nil, problems
	}
	b := &binder{doc: doc, rules: rules()}
	b.table(reflect.ValueOf(into).Elem(), tree, nil)
	return doc, doc.finish(b.findings, b.dropped)
}
