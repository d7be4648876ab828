package project

import "github.com/uniflow-dev/uniflow/host/flow"

// Tenant is a tenant of an operator's manifest.
type Tenant struct {
	Name     string
	Settings flow.Tenant
	// Project is the tenant's manifest with all that it names; nil where it was refused.
	Project *Project
	// Refused says why; Path and Dir of the tenant's manifest are known all the same.
	Refused flow.Problems
	Path    string
}
