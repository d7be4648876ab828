-- +goose Up

-- What pipelines keep from run to run.
CREATE TABLE IF NOT EXISTS state (
    tenant   TEXT NOT NULL,
    pipeline TEXT NOT NULL,
    key      TEXT NOT NULL,
    value    TEXT NOT NULL,
    run      TEXT NOT NULL, -- that set it
    at       INTEGER NOT NULL,
    PRIMARY KEY (tenant, pipeline, key)
) WITHOUT ROWID;

-- What the steps of a run have written, in order; NULL deletes. It becomes the pipeline's when the run succeeds. Of a run
-- that does not it stays as long as the run, for a rerun that takes steps over.
CREATE TABLE IF NOT EXISTS state_writes (
    seq   INTEGER PRIMARY KEY,
    run   INTEGER NOT NULL REFERENCES runs (seq) ON DELETE CASCADE,
    step  TEXT NOT NULL,
    key   TEXT NOT NULL,
    value TEXT
);
CREATE INDEX IF NOT EXISTS state_writes_run ON state_writes (run);
