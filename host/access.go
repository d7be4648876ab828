package host

import (
	"context"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// Tokens lists the tokens by name.
func (h *Host) Tokens(context.Context) ([]flow.Token, error) {
	return nil, unfinished("list tokens")
}

// CreateToken makes a token.
func (h *Host) CreateToken(context.Context, flow.TokenRequest) (flow.NewToken, error) {
	return flow.NewToken{}, unfinished("make a token")
}

// RevokeToken ends a token, and all that it has under way.
func (h *Host) RevokeToken(context.Context, string) error {
	return unfinished("revoke a token")
}

// Audit lists writes, newest first.
func (h *Host) Audit(context.Context, flow.AuditQuery) ([]flow.AuditEntry, error) {
	return nil, unfinished("list the audit")
}
