-- +goose Up

-- When a schedule was enabled or disabled by hand last.
ALTER TABLE schedules ADD COLUMN override_at INTEGER;
UPDATE schedules SET override_at = CAST(strftime('%s', 'now') AS INTEGER) * 1000000000 WHERE override IS NOT NULL;

-- Conditions from their beginning to their end.
CREATE TABLE incidents (
    id        TEXT PRIMARY KEY,
    condition TEXT NOT NULL,
    tenant    TEXT NOT NULL,
    pipeline  TEXT NOT NULL,
    schedule  TEXT NOT NULL,
    opened_at INTEGER NOT NULL,
    closed_at INTEGER,
    body      TEXT NOT NULL
) WITHOUT ROWID;
-- The promise that a condition is told once is this index.
CREATE UNIQUE INDEX incidents_open ON incidents (condition, tenant, pipeline, schedule) WHERE closed_at IS NULL;
CREATE INDEX incidents_closed ON incidents (closed_at) WHERE closed_at IS NOT NULL;

-- Messages about them: one for an incident, a target and a phase.
CREATE TABLE deliveries (
    seq      INTEGER PRIMARY KEY,
    incident TEXT NOT NULL REFERENCES incidents (id) ON DELETE CASCADE,
    target   TEXT NOT NULL,
    phase    TEXT NOT NULL CHECK (phase IN ('opened', 'recovered')),
    state    TEXT NOT NULL CHECK (state IN ('pending', 'sent', 'given_up')),
    attempts INTEGER NOT NULL DEFAULT 0,
    asked_at INTEGER NOT NULL,
    next_at  INTEGER NOT NULL,
    sent_at  INTEGER,
    error    TEXT NOT NULL DEFAULT '',
    UNIQUE (incident, target, phase)
);
CREATE INDEX deliveries_pending ON deliveries (next_at) WHERE state = 'pending';
CREATE INDEX deliveries_given_up ON deliveries (asked_at) WHERE state = 'given_up';

-- The last event that was looked at for them.
CREATE TABLE watched (
    one   INTEGER PRIMARY KEY CHECK (one = 1),
    event INTEGER NOT NULL
);
