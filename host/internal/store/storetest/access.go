package storetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

func testTokens(f *fixture) {
	expires := epoch().Add(time.Hour)
	ci := flow.StoredToken{Hash: "aa", Token: flow.Token{Name: "acme/ci", Tenant: "acme", Role: flow.RoleOperator, Expires: &expires, CreatedAt: epoch(), CreatedBy: "ops"}}
	ops := flow.StoredToken{Hash: "bb", Token: flow.Token{Name: "ops", Role: flow.RoleAdmin, CreatedAt: epoch()}}
	f.must(f.AddToken(f.ctx, ops))
	f.must(f.AddToken(f.ctx, ci))
	again := ci
	again.Hash = "cc"
	if err := f.AddToken(f.ctx, again); flow.CodeOf(err) != flow.CodeExists {
		f.Errorf("a name that is taken: %v", err)
	}
	used := epoch().Add(time.Minute)
	f.must(f.TouchTokens(f.ctx, map[string]time.Time{"acme/ci": used, "gone": used}))
	all, err := f.Tokens(f.ctx)
	f.must(err)
	if len(all) != 2 || all[0].Hash != "aa" || all[0].Tenant != "acme" || !all[0].Expires.Equal(expires) || !all[0].LastUsed.Equal(used) || all[1].Name != "ops" || all[1].LastUsed != nil {
		f.Fatalf("tokens %+v", all)
	}
	f.must(f.RemoveToken(f.ctx, "acme/ci"))
	if err := f.RemoveToken(f.ctx, "acme/ci"); !errors.Is(err, flow.ErrNotFound) {
		f.Errorf("a token that is gone: %v", err)
	}
	if all, err := f.Tokens(f.ctx); err != nil || len(all) != 1 {
		f.Errorf("tokens %+v, %v", all, err)
	}
}

func testAudit(f *fixture) {
	for n := range 6 {
		e := flow.AuditEntry{At: epoch().Add(time.Duration(n) * 24 * time.Hour), By: "ops", Verb: "schedule.enable", Target: fmt.Sprint("s", n%2), After: json.RawMessage(`{"enabled":true}`)}
		if n%3 == 2 {
			e.By, e.Tenant, e.Verb, e.Error = "acme/ci", "acme", "run.start", flow.CodeForbidden
		}
		f.must(f.AddAudit(f.ctx, e))
	}
	for _, c := range []struct {
		q    flow.AuditQuery
		want int
	}{
		{flow.AuditQuery{}, 6},
		{flow.AuditQuery{Tenant: "acme"}, 2},
		{flow.AuditQuery{By: "ops"}, 4},
		{flow.AuditQuery{Verb: "run.start"}, 2},
		{flow.AuditQuery{Target: "s1"}, 3},
		{flow.AuditQuery{Since: epoch().Add(4 * 24 * time.Hour)}, 2},
		{flow.AuditQuery{Limit: 1}, 1},
	} {
		if found, err := f.Audit(f.ctx, c.q); err != nil || len(found) != c.want {
			f.Errorf("%+v: %d entries, %v; want %d", c.q, len(found), err, c.want)
		}
	}
	first, err := f.Audit(f.ctx, flow.AuditQuery{Limit: 4})
	f.must(err)
	rest, err := f.Audit(f.ctx, flow.AuditQuery{Before: first[3].Seq})
	f.must(err)
	if len(rest) != 2 || rest[1].Seq != 1 || first[0].Error != flow.CodeForbidden || string(rest[1].After) != `{"enabled":true}` || !rest[1].At.Equal(epoch()) {
		f.Fatalf("pages %+v and %+v", first, rest)
	}
	dropped, err := f.PruneAudit(f.ctx, epoch().Add(93*24*time.Hour))
	f.must(err)
	if left, err := f.Audit(f.ctx, flow.AuditQuery{}); err != nil || dropped != 3 || len(left) != 3 {
		f.Errorf("%d dropped, %d left, %v", dropped, len(left), err)
	}
}
