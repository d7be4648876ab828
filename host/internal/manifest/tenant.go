package manifest

import (
	"maps"
	"reflect"
	"slices"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// tenantKeys are what the manifest of a tenant may hold.
func tenantKeys() []string { return []string{"alerts", "pipelines", "plugins", "schedules", "version"} }

// ParseTenant is Parse for the manifest of a tenant: what only an operator may say is CodeTenantKey, and is not looked at
// any further.
func ParseTenant(name string, src []byte) (*Document, flow.Problems) {
	doc, tree, problems := parse(name, src)
	if doc == nil {
		return nil, problems
	}
	b := &binder{doc: doc, rules: rules()}
	known := fieldsOf(reflect.TypeFor[flow.Manifest]())
	for _, key := range slices.Sorted(maps.Keys(tree)) {
		if _, ok := known[key]; !ok || slices.Contains(tenantKeys(), key) {
			continue
		}
		b.mistake(flow.Problem{
			Code: flow.CodeTenantKey, Path: []string{key}, OnKey: true, Message: "the manifest of a tenant has no place for " + key,
			Note: "expected " + oneOf(tenantKeys()), Help: "remove it, or ask the operator: it belongs into the operator's manifest",
		})
		delete(tree, key)
	}
	b.manifest(&doc.Manifest, tree)
	return doc, doc.finish(b.findings, b.dropped)
}
