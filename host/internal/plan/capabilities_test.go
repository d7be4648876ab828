package plan

import (
	"maps"
	"reflect"
	"slices"
	"testing"

	"github.com/uniflow-dev/uniflow/host/flow"
)

func TestExcessIsWhatNothingApprovedCovers(t *testing.T) {
	t.Parallel()
	approved := []string{
		"clock", "env MODE", "http GET https://api.example.com/v1/*", "http * https://*.example.org/*", "mount /data = data", "mount /all = .", `mount /odd = "my data"`,
		"secret TOKEN to https://api.example.com as Authorization: Bearer {}",
	}
	bound := flow.SecretBinding{To: "https://api.example.com:443", Header: "Authorization: Bearer {}"}
	for name, c := range map[string]struct {
		grant   flow.Grant
		secrets map[string]flow.SecretBinding
		want    []string
	}{
		"what was approved": {flow.Grant{
			HTTP: []string{"https://API.example.com/v1/*", "* https://*.example.org/*"}, Mount: map[string]string{"/data": "./data/", "/odd": "my data"}, Env: map[string]string{"MODE": "slow"}, Clock: true,
		}, map[string]flow.SecretBinding{"TOKEN": bound}, nil},
		"less": {flow.Grant{HTTP: []string{"HEAD https://api.example.com/v1/x", "POST https://a.example.org/y*"}, Mount: map[string]string{"/data": "data/deep", "/all": "anything/else"}}, nil, nil},
		"more": {flow.Grant{
			HTTP:  []string{"POST https://api.example.com/v1/*", "https://api.example.com/*", "https://api.example.com.evil.example/v1/x", "http://api.example.com/v1/x", "https://example.org/"},
			Mount: map[string]string{"/data": "data/..", "/other": "data", "/all": "../x", "/odd": "my data/x"}, Env: map[string]string{"PATH": ""}, State: true, Random: true, Event: true,
		}, nil, []string{
			"env PATH", "event", "http GET http://api.example.com/v1/x", "http GET https://api.example.com.evil.example/v1/x", "http GET https://api.example.com/*", "http GET https://example.org/", "http POST https://api.example.com/v1/*",
			"mount /all = ../x", "mount /data = .", `mount /odd = "my data/x"`, "mount /other = data", "random", "state",
		}},
		"a neighbour by name":   {flow.Grant{Mount: map[string]string{"/data": "database"}}, nil, []string{"mount /data = database"}},
		"a text that is quoted": {flow.Grant{Mount: map[string]string{"/data = data": "x"}}, nil, []string{`mount "/data = data" = x`}},
		"another place of the secret": {flow.Grant{}, map[string]flow.SecretBinding{"TOKEN": {To: "https://evil.example", Header: bound.Header}}, []string{
			"secret TOKEN to https://evil.example as Authorization: Bearer {}",
		}},
		"a readable secret": {flow.Grant{}, map[string]flow.SecretBinding{"TOKEN": {Expose: true}}, []string{"secret TOKEN readable"}},
	} {
		if got := RightWords(Excess(Rights([]string{"plugins", "p"}, c.grant, c.secrets), approved)); !slices.Equal(got, c.want) {
			t.Errorf("%s:\ngot  %q\nwant %q", name, got, c.want)
		}
	}
	at := Excess(Rights([]string{"plugins", "p"}, flow.Grant{HTTP: []string{"https://a.example/*", "https://b.example/*"}}, nil), []string{"http GET https://a.example/*"})[0].At
	if want := []string{"plugins", "p", "grant", "http", "1"}; !slices.Equal(at, want) {
		t.Errorf("the place is %q, want %q", at, want)
	}
}

func TestDiffSaysWhatAPluginMayDoNow(t *testing.T) {
	t.Parallel()
	m, in := mended(), facts()
	facts := in.Resolved["clean.wasm"]
	facts.Imports = []string{"uniflow.input"}
	in.Resolved["clean.wasm"] = facts
	before := built(t, m, in)

	m = mended()
	clean := m.Plugins["clean"]
	clean.Grant.HTTP, clean.Grant.State = []string{"https://api.example.com/*"}, true
	clean.Grant.Env = map[string]string{"MODE": "slow"}
	m.Plugins["clean"] = clean
	facts.Digest, facts.Imports, facts.Signer = flow.DigestOf([]byte("new")), []string{"uniflow.call", "uniflow.input"}, "RWx"
	facts.Wants.HTTP = []string{"GET https://api.example.com/*"}
	in.Resolved = maps.Clone(in.Resolved)
	in.Resolved["clean.wasm"] = facts
	after := built(t, m, in)

	changes := Diff([]flow.Plan{*find(before, "weather")}, []flow.Plan{*find(after, "weather")})
	if len(changes) != 1 || len(changes[0].Plugins) != 1 {
		t.Fatalf("got %+v", changes)
	}
	old := find(before, "weather").Plugins["clean"].Digest
	want := []string{
		`plugin "clean": digest ` + old.Short() + " -> " + facts.Digest.Short(), `plugin "clean": imports +uniflow.call`, `plugin "clean": wants +http GET https://api.example.com/*`,
		`plugin "clean": grant +http GET https://api.example.com/*`, `plugin "clean": grant +state`, `plugin "clean": signed by RWx`,
	}
	if got := changes[0].Plugins[0].Words(); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if got := changes[0].What; !reflect.DeepEqual(got, append(want, `plugin "clean": env MODE "fast" -> "slow"`)) {
		t.Errorf("in words: %q", got)
	}
	// What follows from the bytes is no change where they are the same: an older version did not know it.
	forgotten := *find(before, "weather")
	forgotten.Plugins = laidOver(nil, forgotten.Plugins)
	for name, p := range forgotten.Plugins {
		p.Imports, p.Wants = nil, flow.Wants{}
		forgotten.Plugins[name] = p
	}
	if got := Diff([]flow.Plan{forgotten}, []flow.Plan{*find(before, "weather")}); got != nil {
		t.Errorf("got %+v for the same bytes", got)
	}
}
