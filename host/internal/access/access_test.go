package access_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/access"
)

// fake is a host with a few answers; a verb that it lacks panics.
type fake struct {
	access.Host
	plan    *flow.Plan
	err     error
	entries []flow.AuditEntry
}

func (f *fake) Folders(string) []string { return []string{"/srv/acme", "/srv"} }

func (f *fake) Record(_ context.Context, e flow.AuditEntry) { f.entries = append(f.entries, e) }

func (f *fake) Schedule(context.Context, string) (r flow.ScheduleRecord, err error) { return r, f.err }

func (f *fake) Pipeline(_ context.Context, id string) (flow.PipelineInfo, error) {
	return flow.PipelineInfo{ID: id, Plan: f.plan}, f.err
}

func (f *fake) Apply(context.Context, flow.ApplyRequest) (flow.ApplyReport, error) {
	return flow.ApplyReport{
		Changes:  []flow.PlanChange{{Pipeline: "acme/p"}, {Pipeline: "beta/p"}, {Pipeline: "p"}},
		Refused:  map[string]flow.Problems{"beta": {{Message: "of beta"}}},
		Problems: flow.Problems{{Message: "of beta"}},
		Deployment: flow.Deployment{
			By: "local:0", Metadata: map[string]string{"note": "of beta"}, Manifests: map[string]flow.Digest{"default": "d", "acme": "a", "beta": "b"},
			Plans: map[string]flow.Digest{"p": "d", "acme/p": "a", "beta/p": "b"},
		},
	}, f.err
}

func author() flow.Principal {
	return flow.Principal{Name: "acme/ci", Tenant: "acme", Role: flow.RoleAuthor}
}

func TestATenantIsShownNoFoldersOfTheHost(t *testing.T) {
	t.Parallel()
	plan := &flow.Plan{Plugins: map[string]flow.PlanPlugin{"p": {
		Path: "/srv/acme/p.wasm", Script: &flow.PlanScript{Path: "/opt/engine"}, Ceiling: "/srv/uniflow.toml:3",
		Grant: flow.Grant{Mount: map[string]string{"/data": "/srv/acme/data", "/all": "/srv/acme"}},
	}}}
	f := &fake{plan: plan}
	info, err := access.Scope(f, author(), "").Pipeline(t.Context(), "p")
	if err != nil || info.ID != "acme/p" {
		t.Fatal(info, err)
	}
	p := info.Plan.Plugins["p"]
	if p.Path != "p.wasm" || p.Script.Path != "engine" || p.Ceiling != "uniflow.toml:3" || p.Grant.Mount["/data"] != "data" || p.Grant.Mount["/all"] != "." {
		t.Errorf("shown: %+v, %+v", p, p.Script)
	}
	if own := plan.Plugins["p"]; own.Path != "/srv/acme/p.wasm" || own.Script.Path != "/opt/engine" || own.Grant.Mount["/data"] != "/srv/acme/data" {
		t.Errorf("the plan itself was changed: %+v", own)
	}
	f.err = &flow.Error{Code: flow.CodeNotFound, Message: "no /srv/acme/x", Hint: "look into /srv/other", Err: flow.ErrNotFound}
	_, err = access.Scope(f, author(), "").Pipeline(t.Context(), "p")
	e, ok := errors.AsType[*flow.Error](err)
	if !ok || e.Message != "no x" || e.Hint != "look into other" || !errors.Is(err, flow.ErrNotFound) || e.Code != flow.CodeNotFound {
		t.Errorf("got %+v", err)
	}
	all, err := access.Scope(&fake{plan: plan}, flow.Principal{Role: flow.RoleViewer}, "").Pipeline(t.Context(), "p")
	if err != nil || all.Plan.Plugins["p"].Path != "/srv/acme/p.wasm" {
		t.Errorf("one of all tenants is shown %+v, %v", all, err)
	}
}

func TestATenantThatAppliesHearsOfItselfAlone(t *testing.T) {
	t.Parallel()
	f := &fake{}
	report, err := access.Scope(f, author(), "").Apply(t.Context(), flow.ApplyRequest{})
	d := &report.Deployment
	if err != nil || len(report.Changes) != 1 || len(report.Refused)+len(report.Problems) != 0 || len(d.Manifests) != 1 || len(d.Plans) != 1 || d.By != "" || d.Metadata != nil {
		t.Errorf("got %+v, %v", report, err)
	}
	f.err = flow.Problems{{Code: "UF1234", Message: "of beta", Source: "[tenants.beta]"}}
	if _, err = access.Scope(f, author(), "").Apply(t.Context(), flow.ApplyRequest{}); flow.CodeOf(err) != flow.CodeReviewed || strings.Contains(err.Error(), "beta") {
		t.Errorf("got %v", err)
	}
	if _, err = access.Scope(f, author(), "").Apply(t.Context(), flow.ApplyRequest{Tenant: "beta"}); flow.CodeOf(err) != flow.CodeReviewed && !errors.Is(err, flow.ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

// A role that is none does nothing, and what is refused is recorded, but not without bound.
func TestRolesAndRefusals(t *testing.T) {
	t.Parallel()
	f := &fake{}
	for _, role := range []flow.Role{"", "king"} {
		c := access.Scope(f, flow.Principal{Name: "x", Role: role}, "here")
		if _, err := c.Info(t.Context()); flow.CodeOf(err) != flow.CodeForbidden {
			t.Errorf("role %q: %v", role, err)
		}
		if _, err := c.SetEnabled(t.Context(), "s", true); flow.CodeOf(err) != flow.CodeForbidden {
			t.Errorf("role %q: %v", role, err)
		}
	}
	if len(f.entries) != 2 || f.entries[0].Verb != "schedule.enable" || f.entries[0].Error != flow.CodeForbidden || f.entries[0].By != "x" || f.entries[0].From != "here" {
		t.Errorf("recorded: %+v", f.entries)
	}
	var r access.Refusals
	now, taken := time.Now(), 0
	for range 1000 {
		if r.Take("x", now) {
			taken++
		}
	}
	if taken != 100 || !r.Take("y", now) || !r.Take("x", now.Add(time.Minute)) {
		t.Errorf("%d of 1000 refusals are recorded", taken)
	}
}

func TestTokensEnd(t *testing.T) {
	t.Parallel()
	tokens := access.NewTokens()
	defer tokens.Close()
	if tokens.Any() || tokens.Usable() {
		t.Error("there is a token before any")
	}
	secret, hash := access.NewSecret()
	if other, _ := access.NewSecret(); other == secret || len(secret) != 56 {
		t.Errorf("secrets %q and %q", secret, other)
	}
	tokens.Add(flow.StoredToken{Token: flow.Token{Name: "acme/ci", Tenant: "acme", Role: flow.RoleViewer}, Hash: hash})
	s, ok := tokens.Find(secret)
	if !ok || s.Principal != (flow.Principal{Name: "acme/ci", Tenant: "acme", Role: flow.RoleViewer}) || len(tokens.Used()) != 1 || len(tokens.Used()) != 0 {
		t.Fatalf("found %+v, %v", s, ok)
	}
	for _, none := range []string{"", "uft_", hash, strings.ToUpper(secret), secret + " "} {
		if _, ok := tokens.Find(none); ok {
			t.Errorf("%q is a token", none)
		}
	}
	tokens.Remove("acme/ci")
	if _, ok := tokens.Find(secret); ok || s.Life.Err() == nil || flow.CodeOf(context.Cause(s.Life)) != flow.CodeUnauthorized || !tokens.Any() || tokens.Usable() {
		t.Errorf("after its end: %v, %v", ok, context.Cause(s.Life))
	}
	past := time.Now().Add(-time.Second)
	tokens.Add(flow.StoredToken{Token: flow.Token{Name: "old", Expires: &past}, Hash: hash})
	if _, ok := tokens.Find(secret); ok || tokens.Usable() {
		t.Error("a token that has expired is good")
	}
}
