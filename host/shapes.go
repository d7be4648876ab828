package host

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/uniflow-dev/uniflow/host/internal/schema"
)

// shapes judges values of runs by the schemas that plugins carry.
type shapes struct{ schema.Shapes }

// misfit says where values do not fit; a schema that is none was told when the plan was made, and judges nothing.
func (s *shapes) misfit(doc json.RawMessage, values map[string]json.RawMessage) string {
	object := make(map[string]any, len(values))
	for name, raw := range values {
		v, err := schema.Decode(raw)
		if err != nil {
			return fmt.Sprintf("%s: %v", name, err)
		}
		object[name] = v
	}
	found, err := s.Misfits(doc, object, nil)
	if err != nil {
		return ""
	}
	texts := make([]string, len(found))
	for i, m := range found {
		texts[i] = m.String()
	}
	return strings.Join(texts, "; ")
}
