// Package schema holds the JSON Schemas of the manifest and of every --json answer of the command line.
//
// They are made from the Go types of host/flow by this package's test (`go test ./host/internal/schema -update`) and
// committed, so that the program carries the documents and not what makes them. It must not know how answers come to be.
package schema

import (
	"embed"
	"fmt"
	"path"
	"strings"

	"github.com/uniflow-dev/uniflow/host/flow"
)

//go:embed generated/*.json
var generated embed.FS

// Manifest is the name of the schema of uniflow.toml.
const Manifest = "manifest"

// Names lists all schemas, sorted.
func Names() []string {
	entries, err := generated.ReadDir("generated")
	if err != nil { // cannot be: the folder is part of the program
		return nil
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = strings.TrimSuffix(e.Name(), ".json")
	}
	return names
}

// Of returns the named schema as JSON that ends with a line break. An unknown name is an error that wraps
// flow.ErrNotFound.
func Of(name string) ([]byte, error) {
	doc, err := generated.ReadFile(path.Join("generated", path.Base(name)+".json"))
	if err != nil {
		return nil, &flow.Error{
			Code: flow.CodeNotFound, Message: fmt.Sprintf("no schema %q", name),
			Hint: "there is: " + strings.Join(Names(), ", "), Err: flow.ErrNotFound,
		}
	}
	return doc, nil
}
