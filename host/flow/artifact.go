package flow

import (
	"bytes"
	"encoding/json"
)

// ArtifactsIn returns the digests that a value refers to as {"$artifact": DIGEST}, at any depth; the digests may not be
// valid. The value is valid JSON of bounded depth.
func ArtifactsIn(raw json.RawMessage) []Digest {
	if !bytes.Contains(raw, []byte("artifact")) && !bytes.Contains(raw, []byte(`\u`)) {
		return nil
	}
	var v any
	if json.Unmarshal(raw, &v) != nil {
		return nil
	}
	return appendArtifacts(nil, v)
}

func appendArtifacts(found []Digest, v any) []Digest {
	switch v := v.(type) {
	case map[string]any:
		if d, ok := v["$artifact"].(string); ok {
			found = append(found, Digest(d))
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
