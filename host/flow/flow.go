// Package flow is the vocabulary of Uniflow: the values that travel from a manifest to a recorded run, and the seams
// between the packages that handle them.
//
// It imports the standard library only, holds no behaviour beyond the values' own text and JSON forms, and every value
// survives a round trip through JSON, so that a plan or a run can be handed to another process unchanged. The words
// are those of docs/ARCHITECTURE.md, one per thing.
package flow

// DefaultTenant is the tenant of everything that names none.
const DefaultTenant = "default"

// ID joins a tenant and a name: "weather" in the default tenant, "acme/weather" elsewhere.
func ID(tenant, name string) string {
	if tenant == "" || tenant == DefaultTenant {
		return name
	}
	return tenant + "/" + name
}
