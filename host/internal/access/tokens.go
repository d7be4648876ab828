package access

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// secretPrefix begins every secret, so that scanners and people know one when they see it.
const secretPrefix = "uft_"

// NewSecret returns the secret of a new token, 256 random bits, and its hash.
func NewSecret() (secret, hash string) {
	var bits [32]byte
	_, _ = rand.Read(bits[:]) // never fails: the runtime ends the process when the system has no randomness
	secret = secretPrefix + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(bits[:]))
	sum := sha256.Sum256([]byte(secret))
	return secret, hex.EncodeToString(sum[:])
}

// IsSecret reports whether a text has the form of a token's secret, which nobody can guess.
func IsSecret(text string) bool { return strings.HasPrefix(text, secretPrefix) }

// Tokens are the tokens that are good, by the hashes of their secrets. They are held in memory, so that a request asks no
// ledger, and so that the end of a token ends what it has under way. It is safe for concurrent use.
type Tokens struct {
	mu     sync.Mutex
	byHash map[string]*liveToken
	byName map[string]*liveToken
	seen   bool
}

// liveToken is a token and the life of what was begun with it.
type liveToken struct {
	flow.StoredToken
	life    context.Context //nolint:containedctx // the token's own lifetime: it ends when the token is revoked or expires
	end     context.CancelCauseFunc
	touched bool // since Used was asked
}

// Session is what a secret opens.
type Session struct {
	Principal flow.Principal
	// Life ends, with a cause, when the token does.
	Life context.Context //nolint:containedctx // see liveToken
}

// NewTokens returns no tokens.
func NewTokens() *Tokens {
	return &Tokens{byHash: map[string]*liveToken{}, byName: map[string]*liveToken{}}
}

// Add makes a token good until it expires.
func (t *Tokens) Add(token flow.StoredToken) {
	t.mu.Lock()
	defer t.mu.Unlock()
	live := &liveToken{StoredToken: token}
	var stop context.CancelFunc = func() {}
	live.life = context.Background()
	if token.Expires != nil {
		live.life, stop = context.WithDeadlineCause(live.life, *token.Expires, ended(token.Name, "has expired"))
	}
	var end context.CancelCauseFunc
	live.life, end = context.WithCancelCause(live.life)
	live.end = func(cause error) {
		end(cause)
		stop()
	}
	t.byHash[token.Hash], t.byName[token.Name], t.seen = live, live, true
}

func ended(name, how string) error {
	return &flow.Error{Code: flow.CodeUnauthorized, Message: fmt.Sprintf("the token %q %s", name, how), Hint: "ask for another one: uniflow token create"}
}

// End ends a token, and all that it has under way. It is listed until it is removed.
func (t *Tokens) End(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if live := t.byName[name]; live != nil {
		live.end(ended(name, "was revoked"))
	}
}

// Remove drops a token.
func (t *Tokens) Remove(name string) {
	t.End(name)
	t.mu.Lock()
	defer t.mu.Unlock()
	if live := t.byName[name]; live != nil {
		delete(t.byName, name)
		delete(t.byHash, live.Hash)
	}
}

// Close ends the lives of all tokens.
func (t *Tokens) Close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, live := range t.byName {
		live.end(context.Canceled)
	}
	clear(t.byName)
	clear(t.byHash)
}

// Find returns who comes with a secret; false for a secret of no token, or of one that has ended.
func (t *Tokens) Find(secret string) (Session, bool) {
	sum := sha256.Sum256([]byte(secret)) // what is compared byte by byte is no secret
	t.mu.Lock()
	defer t.mu.Unlock()
	live := t.byHash[hex.EncodeToString(sum[:])]
	if live == nil || live.life.Err() != nil {
		return Session{}, false
	}
	if now := time.Now().UTC().Truncate(time.Minute); live.LastUsed == nil || now.After(*live.LastUsed) {
		live.LastUsed, live.touched = &now, true
	}
	return Session{Principal: flow.Principal{Name: live.Name, Tenant: live.Tenant, Role: live.Role}, Life: live.life}, true
}

// Any reports whether there is a token, or was one in this life of the host: who has once asked for tokens is not to serve
// everybody once the last one is gone.
func (t *Tokens) Any() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.seen
}

// Usable reports whether a token is good now.
func (t *Tokens) Usable() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, live := range t.byName {
		if live.life.Err() == nil {
			return true
		}
	}
	return false
}

// List returns the tokens by name.
func (t *Tokens) List() []flow.Token {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make([]flow.Token, 0, len(t.byName))
	for _, live := range t.byName {
		all = append(all, live.Token)
	}
	slices.SortFunc(all, func(a, b flow.Token) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// Used returns when the tokens were used that were since it was asked last.
func (t *Tokens) Used() map[string]time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	used := map[string]time.Time{}
	for name, live := range t.byName {
		if live.touched {
			used[name], live.touched = *live.LastUsed, false
		}
	}
	return used
}

// tokens are those that the principal manages.
func (s *scoped) tokens(ctx context.Context) ([]flow.Token, error) {
	all, err := s.host.Tokens(ctx)
	if s.p.Tenant == "" {
		return all, err
	}
	return slices.DeleteFunc(all, func(t flow.Token) bool { return t.Tenant != s.p.Tenant }), err
}

// Tokens lists the tokens that the principal manages: those of its tenant.
func (s *scoped) Tokens(ctx context.Context) ([]flow.Token, error) {
	if err := s.may(flow.RoleAdmin, "list tokens"); err != nil {
		return nil, err
	}
	all, err := s.tokens(ctx)
	return all, s.shown(err)
}

// tokenFacts are what the audit tells of a token.
func tokenFacts(t *flow.Token) map[string]any {
	facts := map[string]any{"role": t.Role, "tenant": t.Tenant}
	if t.Expires != nil {
		facts["expires"] = t.Expires
	}
	return facts
}

// CreateToken makes a token of the principal's tenant: nobody gives away more than they have.
func (s *scoped) CreateToken(ctx context.Context, r flow.TokenRequest) (flow.NewToken, error) {
	tenant, ok := s.tenantOf(r.Tenant)
	target := r.Name
	if tenant != "" && ok {
		target = tenant + "/" + strings.TrimPrefix(r.Name, tenant+"/")
	}
	return write(ctx, s, flow.RoleAdmin, "token.create", target, func(c *change) (flow.NewToken, error) {
		if !ok {
			return flow.NewToken{}, s.noTenant(r.Tenant)
		}
		r.Tenant = tenant
		made, err := s.host.CreateTokenBy(ctx, r, s.p.Name)
		c.told(nil, tokenFacts(&made.Token))
		return made, err
	})
}

// RevokeToken ends a token of the principal's tenant.
func (s *scoped) RevokeToken(ctx context.Context, name string) error {
	name = s.own(name)
	_, err := write(ctx, s, flow.RoleAdmin, "token.revoke", name, func(c *change) (struct{}, error) {
		known, err := s.tokens(ctx)
		if err != nil {
			return struct{}{}, err
		}
		i := slices.IndexFunc(known, func(t flow.Token) bool { return t.Name == name })
		if i < 0 {
			return struct{}{}, noToken(name, known)
		}
		c.told(tokenFacts(&known[i]), nil)
		return struct{}{}, s.host.RevokeToken(ctx, name)
	})
	return err
}

func noToken(name string, known []flow.Token) error {
	hint := "there is none yet"
	if len(known) > 0 {
		names := make([]string, 0, 10)
		for _, t := range known[:min(len(known), 10)] {
			names = append(names, t.Name)
		}
		hint = "there is: " + strings.Join(names, ", ")
	}
	return &flow.Error{Code: flow.CodeNotFound, Message: fmt.Sprintf("no token %.80q", name), Hint: hint, Err: flow.ErrNotFound}
}
