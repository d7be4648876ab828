package abi

import (
	"encoding/json"
	"fmt"
)

// Descriptor is what a plugin says of itself, readable without running it: the
// content of the custom section of a module and the answer of a process plugin
// to Describe. Everything in it is a claim of the plugin's author.
type Descriptor struct {
	Name        string              `json:"name"`
	Version     string              `json:"version,omitempty"`
	Description string              `json:"description,omitempty"`
	Functions   map[string]Function `json:"functions,omitempty"` // by name of the entry
	Wants       Wants               `json:"wants,omitzero"`
}

// Function describes one entry of a plugin.
type Function struct {
	Description string          `json:"description,omitempty"`
	With        json.RawMessage `json:"with,omitempty"`    // JSON Schema of the inputs
	Outputs     json.RawMessage `json:"outputs,omitempty"` // JSON Schema of the object of all outputs
}

// Wants lists the grants that a plugin needs, in the words of the manifest. It
// grants nothing.
type Wants struct {
	HTTP   []string `json:"http,omitempty"`  // "GET https://host/path/*"
	Mount  []string `json:"mount,omitempty"` // paths as the guest sees them
	Secret []string `json:"secret,omitempty"`
	State  bool     `json:"state,omitempty"`
	Event  bool     `json:"event,omitempty"`
	Clock  bool     `json:"clock,omitempty"`
	Random bool     `json:"random,omitempty"`
}

// DecodeDescriptor reads a descriptor and ignores unknown fields. It refuses
// one over MaxDescriptor bytes with TooLarge and one that is no JSON or is
// nested deeper than MaxDepth with Invalid.
func DecodeDescriptor(doc []byte) (Descriptor, error) {
	var d Descriptor
	if len(doc) > MaxDescriptor {
		return d, refuse(TooLarge, "descriptor of %d bytes, at most %d", len(doc), MaxDescriptor)
	}
	if e := CheckJSON(doc); e != OK {
		return d, fmt.Errorf("descriptor: %w", e)
	}
	if err := json.Unmarshal(doc, &d); err != nil {
		return Descriptor{}, refuse(Invalid, "descriptor: %v", err)
	}
	return d, nil
}
