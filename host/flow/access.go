package flow

import (
	"encoding/json"
	"slices"
	"time"
)

// Role is what a principal may do; each includes the ones before it.
type Role string

const (
	RoleViewer   Role = "viewer"   // reads all but tokens and audit
	RoleOperator Role = "operator" // starts, cancels and reruns runs; enables and disables schedules; tests alerts
	RoleAuthor   Role = "author"   // adds and removes schedules, applies, saves and rolls back versions, changes state
	RoleAdmin    Role = "admin"    // makes and revokes tokens, reads the audit
)

// Roles returns all roles, the one first that may do least.
func Roles() []Role { return []Role{RoleViewer, RoleOperator, RoleAuthor, RoleAdmin} }

// Includes reports whether the role may do what another one may. A role that is none may do nothing, and nobody has one.
func (r Role) Includes(other Role) bool {
	all := Roles()
	own, wanted := slices.Index(all, r), slices.Index(all, other)
	return wanted >= 0 && own >= wanted
}

// Principal is who asks.
type Principal struct {
	// Name is that of the token; "local" and the number of the user for who comes by the socket or the ledger itself.
	Name string `json:"name"`
	// Tenant is the only one that exists for the principal; empty is all of them.
	Tenant string `json:"tenant,omitempty"`
	Role   Role   `json:"role"`
}

// Token gives access to the API. Its secret is shown once, when it is made, and kept as a hash.
type Token struct {
	// Name is unique; that of a token of a tenant, also of the default one, begins with it: acme/ci.
	Name string `json:"name"`
	// Tenant is the only tenant that the token can see; empty is all.
	Tenant string `json:"tenant,omitempty"`
	Role   Role   `json:"role"`
	// Expires is when it ends by itself; nil is never.
	Expires   *time.Time `json:"expires,omitempty"`
	CreatedAt time.Time  `json:"created_at"`
	CreatedBy string     `json:"created_by"`
	// LastUsed is known to the minute.
	LastUsed *time.Time `json:"last_used,omitempty"`
}

// TokenRequest asks for a token.
type TokenRequest struct {
	Name    string     `json:"name"`
	Tenant  string     `json:"tenant,omitempty"`
	Role    Role       `json:"role"`
	Expires *time.Time `json:"expires,omitempty"`
}

// StoredToken is a token as the ledger keeps it: with the hash of its secret, by which it is found.
type StoredToken struct {
	Token
	// Hash is the SHA-256 of the secret, in hexadecimal digits.
	Hash string `json:"-"`
}

// NewToken is a token that was made, with its secret: "uft_" and 256 random bits.
type NewToken struct {
	Token
	Secret string `json:"secret"`
}

// AuditEntry is one write, or one that was refused.
type AuditEntry struct {
	Seq int64     `json:"seq"`
	At  time.Time `json:"at"`
	// By is the principal's name, From where it came from: an address, the socket, or the program itself.
	By   string `json:"by"`
	From string `json:"from,omitempty"`
	// Tenant is that of the principal; empty for one of all tenants.
	Tenant string `json:"tenant,omitempty"`
	// Verb is what was done, such as schedule.disable, and Target the id of what it was done to.
	Verb   string `json:"verb"`
	Target string `json:"target,omitempty"`
	// Error is the code of what kept it from being done; empty when it was done.
	Error Code `json:"error,omitempty"`
	// Before and After are what the verb changed, without contexts, outputs and secrets.
	Before json.RawMessage `json:"before,omitempty"`
	After  json.RawMessage `json:"after,omitempty"`
}

// AuditQuery selects entries, newest first.
type AuditQuery struct {
	Tenant string    `json:"tenant,omitempty"`
	By     string    `json:"by,omitempty"`
	Verb   string    `json:"verb,omitempty"`
	Target string    `json:"target,omitempty"`
	Since  time.Time `json:"since,omitzero"`
	// Before is the Seq of the last entry of the page before.
	Before int64 `json:"before,omitempty"`
	// Limit defaults to 50 and is at most 1,000.
	Limit int `json:"limit,omitempty"`
}
