-- +goose Up
-- Instants are nanoseconds since the Unix epoch, UTC; NULL stands for none. Bodies are JSON.

CREATE TABLE runs (
    seq          INTEGER PRIMARY KEY AUTOINCREMENT, -- the order of offers
    id           TEXT NOT NULL UNIQUE,
    tenant       TEXT NOT NULL,
    pipeline     TEXT NOT NULL,
    schedule     TEXT NOT NULL,
    kind         TEXT NOT NULL,
    project      TEXT NOT NULL,
    label        TEXT NOT NULL,
    body         TEXT NOT NULL,
    place        INTEGER NOT NULL, -- in the line of waiting runs: a slot inherits it from the one it stands for
    state        TEXT NOT NULL CHECK (state IN ('queued', 'running', 'ended')),
    outcome      TEXT NOT NULL DEFAULT '',
    reason       TEXT NOT NULL DEFAULT '',
    message      TEXT NOT NULL DEFAULT '',
    epoch        INTEGER NOT NULL DEFAULT 0,
    resumes      INTEGER NOT NULL DEFAULT 0,
    boot         TEXT NOT NULL DEFAULT '',
    cancelling   INTEGER NOT NULL DEFAULT 0,
    queued_at    INTEGER NOT NULL,
    started_at   INTEGER,
    ended_at     INTEGER,
    CHECK ((state = 'ended') = (outcome <> '')),
    CHECK ((state = 'ended') = (ended_at IS NOT NULL)),
    CHECK (state <> 'running' OR (epoch > 0 AND started_at IS NOT NULL))
);
-- The promise that one run of a pipeline is live is this index.
CREATE UNIQUE INDEX runs_live ON runs (tenant, pipeline) WHERE state = 'running';
CREATE INDEX runs_waiting ON runs (tenant, pipeline, place) WHERE state = 'queued';
CREATE INDEX runs_success ON runs (tenant, pipeline, ended_at) WHERE outcome = 'succeeded';
CREATE INDEX runs_pipeline ON runs (tenant, pipeline);
CREATE INDEX runs_schedule ON runs (tenant, schedule);
CREATE INDEX runs_project ON runs (tenant, project);
CREATE INDEX runs_state ON runs (state);

CREATE TABLE steps (
    run         INTEGER NOT NULL REFERENCES runs (seq) ON DELETE CASCADE,
    name        TEXT NOT NULL,
    state       TEXT NOT NULL CHECK (state IN ('running', 'ended')),
    outcome     TEXT NOT NULL DEFAULT '',
    reason      TEXT NOT NULL DEFAULT '',
    message     TEXT NOT NULL DEFAULT '',
    started_at  INTEGER,
    ended_at    INTEGER,
    outputs     TEXT,
    list        TEXT,
    progress    INTEGER NOT NULL DEFAULT 0,
    progress_at INTEGER NOT NULL DEFAULT 0, -- of the last progress that became an event
    PRIMARY KEY (run, name)
) WITHOUT ROWID;

CREATE TABLE attempts (
    run        INTEGER NOT NULL REFERENCES runs (seq) ON DELETE CASCADE,
    step       TEXT NOT NULL,
    item       INTEGER NOT NULL, -- -1 where a step has no elements
    attempt    INTEGER NOT NULL,
    epoch      INTEGER NOT NULL,
    state      TEXT NOT NULL CHECK (state IN ('running', 'ended')),
    outcome    TEXT NOT NULL DEFAULT '',
    reason     TEXT NOT NULL DEFAULT '',
    message    TEXT NOT NULL DEFAULT '',
    started_at INTEGER NOT NULL,
    ended_at   INTEGER,
    outputs    TEXT,
    usage      TEXT,
    retry_at   INTEGER,
    PRIMARY KEY (run, step, item, attempt, epoch)
) WITHOUT ROWID;

CREATE TABLE events (
    seq      INTEGER PRIMARY KEY AUTOINCREMENT,
    at       INTEGER NOT NULL,
    tenant   TEXT NOT NULL,
    pipeline TEXT NOT NULL,
    run      TEXT NOT NULL,
    body     TEXT NOT NULL
);
CREATE INDEX events_run ON events (run);
CREATE INDEX events_pipeline ON events (tenant, pipeline);

CREATE TABLE logs (
    seq     INTEGER PRIMARY KEY AUTOINCREMENT,
    at      INTEGER NOT NULL,
    tenant  TEXT NOT NULL,
    run     TEXT NOT NULL,
    step    TEXT NOT NULL,
    item    INTEGER,
    attempt INTEGER NOT NULL,
    level   INTEGER NOT NULL,
    message TEXT NOT NULL,
    dropped INTEGER NOT NULL
);
CREATE INDEX logs_run ON logs (run);

CREATE TABLE slots (
    tenant   TEXT NOT NULL,
    schedule TEXT NOT NULL,
    from_at  INTEGER NOT NULL,
    to_at    INTEGER NOT NULL,
    pipeline TEXT NOT NULL,
    count    INTEGER NOT NULL CHECK (count > 0),
    ending   TEXT NOT NULL CHECK (ending IN ('run', 'coalesced', 'skipped', 'missed')),
    reason   TEXT NOT NULL,
    run      TEXT NOT NULL,
    PRIMARY KEY (tenant, schedule, from_at),
    CHECK (from_at <= to_at)
) WITHOUT ROWID;
CREATE INDEX slots_run ON slots (run);
CREATE INDEX slots_pipeline ON slots (tenant, pipeline, to_at);

CREATE TABLE schedules (
    tenant    TEXT NOT NULL,
    name      TEXT NOT NULL,
    body      TEXT NOT NULL,
    origin    TEXT NOT NULL,
    override  INTEGER,
    since     INTEGER NOT NULL,
    watermark INTEGER NOT NULL,
    PRIMARY KEY (tenant, name)
) WITHOUT ROWID;

CREATE TABLE plans (
    digest  TEXT PRIMARY KEY,
    project TEXT NOT NULL,
    label   TEXT NOT NULL,
    body    TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE versions (
    seq      INTEGER PRIMARY KEY,
    tenant   TEXT NOT NULL,
    pipeline TEXT NOT NULL,
    body     TEXT NOT NULL
);
CREATE INDEX versions_pipeline ON versions (tenant, pipeline);
