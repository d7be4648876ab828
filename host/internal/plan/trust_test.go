package plan

import (
	"slices"
	"testing"

	"github.com/uniflow-dev/uniflow/host/flow"
)

func TestAVersionIsTrustedByTheKeysOfNow(t *testing.T) {
	t.Parallel()
	p := &flow.Plan{Plugins: map[string]flow.PlanPlugin{
		"bare": {Kind: flow.KindWasm}, "code": {Kind: flow.KindFunc}, "new": {Kind: flow.KindWasm, Signer: "RWnew"}, "old": {Kind: flow.KindProcess, Signer: "RWold"},
	}}
	const old, bare = `plugin "old": the key RWold that signed it is not trusted any more`, `plugin "bare": it is not signed`
	for _, c := range []struct {
		keys     []string
		unsigned bool
		want     []string
	}{
		{nil, true, nil},
		{[]string{"RWold", "untrusted comment: new\nRWnew\n"}, false, nil},
		{[]string{"RWnew"}, false, []string{old}},
		{[]string{"RWnew"}, true, []string{bare, old}},
	} {
		if got := Distrusted(p, c.keys, c.unsigned); !slices.Equal(got, c.want) {
			t.Errorf("%q: got %v, want %v", c.keys, got, c.want)
		}
	}
}
