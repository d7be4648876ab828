-- +goose Up

-- What the context and the outputs of a run refer to; the bytes of other artifacts may go.
CREATE TABLE IF NOT EXISTS artifacts (
    tenant TEXT NOT NULL,
    digest TEXT NOT NULL,
    run    INTEGER NOT NULL REFERENCES runs (seq) ON DELETE CASCADE,
    PRIMARY KEY (tenant, digest, run)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS artifacts_run ON artifacts (run);

-- The digests of compiled modules in the cache, by its folders.
CREATE TABLE IF NOT EXISTS seals (
    name   TEXT PRIMARY KEY,
    digest TEXT NOT NULL
) WITHOUT ROWID;
