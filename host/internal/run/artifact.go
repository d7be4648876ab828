package run

import (
	"bytes"
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
	for _, d := range artifactsIn(raw) {
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
		for _, d := range artifactsIn(named[name]) {
			if !x.known[d] {
				return name, true
			}
		}
	}
	return "", false
}

// artifactsIn returns the digests that a value refers to, at any depth. The value is valid JSON of bounded depth.
func artifactsIn(raw json.RawMessage) []flow.Digest {
	if !bytes.Contains(raw, []byte("artifact")) && !bytes.Contains(raw, []byte(`\u`)) {
		return nil
	}
	var v any
	if json.Unmarshal(raw, &v) != nil {
		return nil
	}
	return appendArtifacts(nil, v)
}

func appendArtifacts(found []flow.Digest, v any) []flow.Digest {
	switch v := v.(type) {
	case map[string]any:
		if d, ok := v["$artifact"].(string); ok {
			found = append(found, flow.Digest(d))
		}
		for _, e := range v {
			found = appendArtifacts(found, e)
		}
	case []any:
		for _, e := range v {
			found = appendArtifacts(found, e)
		}
	}
	return found
}
