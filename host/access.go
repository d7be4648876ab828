package host

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/access"
)

// As returns the host as a principal sees it: what its role does not allow is refused, what is not of its tenant does not
// exist, and each write is recorded in the audit, as coming from an address or whatever from says. The Host itself refuses
// nothing and records no audit: it is the program's own.
func (h *Host) As(p flow.Principal, from string) flow.Control {
	return access.Scope(behind{h}, p, from)
}

// LocalPrincipal is who acts in a process of a user of this machine: admin of all tenants.
func LocalPrincipal() flow.Principal {
	name := "local"
	if id := os.Getuid(); id >= 0 {
		name = fmt.Sprintf("local:%d", id)
	}
	return flow.Principal{Name: name, Role: flow.RoleAdmin}
}

// behind is the host behind a scope.
type behind struct{ *Host }

func (b behind) InfoOf(ctx context.Context, tenant string) (flow.HostInfo, error) {
	info, err := b.Info(ctx)
	if tenant == "" || err != nil {
		return info, err
	}
	records, err := b.store.Schedules(ctx)
	if err != nil {
		return info, fmt.Errorf("list schedules: %w", err)
	}
	live, err := b.store.Runs(ctx, flow.RunQuery{Tenant: tenant, State: flow.StateRunning, Limit: 1000})
	info.Pipelines, info.Schedules, info.LiveRuns = 0, 0, len(live)
	for _, r := range b.withUnsynced(records) {
		if r.Tenant == tenant {
			info.Schedules++
		}
	}
	for _, e := range b.entries() {
		if e.plan.Tenant == tenant {
			info.Pipelines++
		}
	}
	return info, err
}

func (b behind) PipelinesOf(ctx context.Context, tenant string) ([]flow.PipelineInfo, error) {
	return b.pipelinesOf(ctx, tenant)
}

func (b behind) SchedulesOf(ctx context.Context, tenant string) ([]flow.ScheduleInfo, error) {
	return b.schedulesOf(ctx, tenant)
}

func (b behind) ScheduleHealthOf(ctx context.Context, tenant string) ([]flow.ScheduleHealth, error) {
	return b.scheduleHealthOf(ctx, tenant)
}

func (b behind) TenantsOf(ctx context.Context, tenant string) ([]flow.TenantInfo, error) {
	return b.tenantsOf(ctx, tenant)
}

func (b behind) ClearOf(ctx context.Context, tenant string) (flow.Cleared, error) {
	return b.clear(ctx, tenant)
}

func (b behind) Schedule(ctx context.Context, id string) (flow.ScheduleRecord, error) {
	return b.schedule(ctx, id)
}

func (b behind) CreateTokenBy(ctx context.Context, r flow.TokenRequest, by string) (flow.NewToken, error) {
	return b.createToken(ctx, r, by)
}

// Record keeps an entry of the audit. What was done stays done where that fails, and the log tells.
func (b behind) Record(ctx context.Context, e flow.AuditEntry) {
	if b.config.ReadOnly || e.Error != "" && !b.refused.Take(e.By, e.At) {
		return
	}
	if err := b.store.AddAudit(ctx, e); err != nil {
		b.log.Error("audit not written", slog.String("verb", e.Verb), slog.String("target", e.Target), slog.String("by", e.By), slog.Any("err", err))
	}
}

// Folders are those that no text for a tenant names: its own, so that paths in it are relative to it, those of the data,
// and the operator's.
func (b behind) Folders(tenant string) []string {
	all := []string{b.data}
	if p := b.current(); p != nil {
		all = append(all, p.Dir)
		for i := range p.Tenants {
			if t := &p.Tenants[i]; t.Name == tenant && t.Path != "" {
				all = append(all, filepath.Dir(t.Path))
			}
		}
	}
	slices.SortFunc(all, func(a, b string) int { return len(b) - len(a) }) // what is inside comes first
	return all
}

// askedID is an id as somebody gives it. Who is of one tenant asks with the tenant before it, and hears of no other.
type askedID struct {
	text, tenant, name string
	bare               bool
}

func readID(id string) askedID {
	tenant, name := splitID(id, "")
	return askedID{text: id, tenant: tenant, name: name, bare: !strings.Contains(id, "/")}
}

// one reports whether the id can be one: no name has a "/".
func (a askedID) one() bool { return !strings.Contains(a.name, "/") }

// is reports whether a name of a tenant is meant.
func (a askedID) is(tenant, name string) bool { return a.tenant == tenant && a.name == name }

// hears reports whether the names of a tenant are told where the id is none.
func (a askedID) hears(tenant string) bool { return a.bare || a.tenant == tenant }

// openTokens reads the tokens of the ledger.
func (h *Host) openTokens(ctx context.Context) error {
	kept, err := h.store.Tokens(ctx)
	if err != nil {
		return fmt.Errorf("read the tokens: %w", err)
	}
	for _, t := range kept {
		h.tokens.Add(t)
	}
	return nil
}

// touchEvery is the time between looks for tokens that were used.
const touchEvery = time.Minute

// touchTokens records when tokens were used last, now and then and when ctx ends.
func (h *Host) touchTokens(ctx context.Context) {
	ticker := time.NewTicker(touchEvery)
	defer ticker.Stop()
	for ended := false; !ended; {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			ended = true
		}
		used := h.tokens.Used()
		if len(used) == 0 {
			continue
		}
		if err := h.store.TouchTokens(context.WithoutCancel(ctx), used); err != nil {
			h.log.Error("use of tokens not recorded", slog.Any("err", err))
		}
	}
}

// Tokens lists the tokens by name.
func (h *Host) Tokens(context.Context) ([]flow.Token, error) { return h.tokens.List(), nil }

// CreateToken makes a token.
func (h *Host) CreateToken(ctx context.Context, r flow.TokenRequest) (flow.NewToken, error) {
	return h.createToken(ctx, r, LocalPrincipal().Name)
}

// mostTokens bounds the tokens of a tenant.
const mostTokens = 1000

func (h *Host) createToken(ctx context.Context, r flow.TokenRequest, by string) (flow.NewToken, error) {
	h.bounding.Lock()
	defer h.bounding.Unlock()
	now := time.Now().UTC()
	if err := h.checkToken(&r, now); err != nil {
		return flow.NewToken{}, err
	}
	if h.config.ReadOnly {
		return flow.NewToken{}, errReadOnly("make token " + r.Name)
	}
	secret, hash := access.NewSecret()
	t := flow.Token{Name: r.Name, Tenant: r.Tenant, Role: r.Role, Expires: r.Expires, CreatedAt: now, CreatedBy: by}
	if r.Tenant != "" {
		t.Name = r.Tenant + "/" + r.Name
	}
	kept := flow.StoredToken{Token: t, Hash: hash}
	if err := h.store.AddToken(ctx, kept); err != nil {
		return flow.NewToken{}, err
	}
	h.tokens.Add(kept)
	return flow.NewToken{Token: t, Secret: secret}, nil
}

// checkToken refuses a request that makes no token, and takes the tenant out of the name.
func (h *Host) checkToken(r *flow.TokenRequest, now time.Time) error {
	op := fmt.Sprintf("make token %.80q", r.Name)
	refuse := func(hint, format string, args ...any) error {
		return &flow.Error{Code: flow.CodeRequest, Op: op, Message: fmt.Sprintf(format, args...), Hint: hint}
	}
	if r.Tenant != "" {
		r.Name = strings.TrimPrefix(r.Name, r.Tenant+"/")
	}
	n := 0
	for _, t := range h.tokens.List() {
		if t.Tenant == r.Tenant {
			n++
		}
	}
	switch {
	case !validName(r.Name):
		return refuse("a name has lower case letters, digits, _ and -, begins with a letter, and is at most 64 long; the tenant stands apart: --tenant acme", "%.80q is not a name", r.Name)
	case r.Tenant != "" && !validName(r.Tenant):
		return refuse("leave it out for a token of all tenants", "%.80q is not the name of a tenant", r.Tenant)
	case !slices.Contains(flow.Roles(), r.Role):
		return refuse("known: viewer, operator, author, admin", "%.80q is not a role", r.Role)
	case r.Expires != nil && !r.Expires.After(now):
		return refuse("leave it out for a token that does not expire", "it would expire at %s, which has passed", r.Expires.UTC().Format(time.RFC3339))
	case n >= mostTokens:
		return &flow.Error{Code: flow.CodeQuota, Op: op, Message: fmt.Sprintf("there are %d tokens of the tenant already", n), Hint: "revoke those that nobody uses: uniflow token list"}
	}
	return nil
}

// RevokeToken ends a token, and all that it has under way.
func (h *Host) RevokeToken(ctx context.Context, name string) error {
	if h.config.ReadOnly {
		return errReadOnly("revoke token " + name)
	}
	h.tokens.End(name) // first of all, and also where the ledger cannot be written
	if err := h.store.RemoveToken(ctx, name); err != nil {
		return fmt.Errorf("revoke: %w", err)
	}
	h.tokens.Remove(name)
	return nil
}

// Audit lists writes, newest first.
func (h *Host) Audit(ctx context.Context, q flow.AuditQuery) ([]flow.AuditEntry, error) {
	return h.store.Audit(ctx, q)
}
