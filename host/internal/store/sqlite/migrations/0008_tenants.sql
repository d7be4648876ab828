-- +goose Up

-- What was applied, as a whole; body is a flow.Deployment.
CREATE TABLE IF NOT EXISTS deployments (
    seq    INTEGER PRIMARY KEY AUTOINCREMENT,
    at     INTEGER NOT NULL,
    digest TEXT NOT NULL,
    body   TEXT NOT NULL
);

-- The versions of a pipeline by deployment, one row for each change; an empty digest is its end.
CREATE TABLE IF NOT EXISTS deployed (
    tenant     TEXT NOT NULL,
    pipeline   TEXT NOT NULL,
    deployment INTEGER NOT NULL REFERENCES deployments (seq),
    digest     TEXT NOT NULL,
    PRIMARY KEY (tenant, pipeline, deployment)
) WITHOUT ROWID;

-- Pipelines that were rolled back by hand: digest runs as long as the manifest says over.
CREATE TABLE IF NOT EXISTS rollbacks (
    tenant   TEXT NOT NULL,
    pipeline TEXT NOT NULL,
    digest   TEXT NOT NULL,
    over     TEXT NOT NULL,
    at       INTEGER NOT NULL,
    PRIMARY KEY (tenant, pipeline)
) WITHOUT ROWID;

-- What tenants have used, by the minute; the default tenant has no quota and no rows.
CREATE TABLE IF NOT EXISTS usage (
    tenant TEXT NOT NULL,
    minute INTEGER NOT NULL, -- since the Unix epoch
    runs   INTEGER NOT NULL, -- that were taken
    fuel   INTEGER NOT NULL,
    egress INTEGER NOT NULL, -- bytes
    PRIMARY KEY (tenant, minute)
) WITHOUT ROWID;

-- Tokens of the API; body is a flow.Token.
CREATE TABLE IF NOT EXISTS tokens (
    name TEXT PRIMARY KEY,
    hash TEXT NOT NULL UNIQUE, -- SHA-256 of the secret, in hexadecimal digits
    body TEXT NOT NULL
) WITHOUT ROWID;

-- Writes, and those that were refused; body is a flow.AuditEntry.
CREATE TABLE IF NOT EXISTS audit (
    seq    INTEGER PRIMARY KEY AUTOINCREMENT,
    at     INTEGER NOT NULL,
    tenant TEXT NOT NULL, -- of the principal
    actor  TEXT NOT NULL,
    verb   TEXT NOT NULL,
    target TEXT NOT NULL,
    body   TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS audit_target ON audit (target, seq);
CREATE INDEX IF NOT EXISTS audit_tenant ON audit (tenant, seq);
