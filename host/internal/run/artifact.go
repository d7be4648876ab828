package run

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// put notes an artifact that a guest put, so that later steps may read it.
func (x *execution) put(d flow.Digest) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.known[d] = true
}

func (x *execution) knownArtifacts() []flow.Digest {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Collect(maps.Keys(x.known))
}

// learn notes the artifacts that a value refers to.
func (x *execution) learn(raw json.RawMessage) {
	for _, d := range flow.ArtifactsIn(raw) {
		x.known[d] = true
	}
}

func (x *execution) learnAll(values map[string]json.RawMessage) {
	for _, v := range values {
		x.learn(v)
	}
}

// foreignArtifact returns the name of an output that refers to an artifact of somebody else.
func (x *execution) foreignArtifact(named map[string]json.RawMessage) (string, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(named)) {
		for _, d := range flow.ArtifactsIn(named[name]) {
			if !x.known[d] {
				return name, true
			}
		}
	}
	return "", false
}
