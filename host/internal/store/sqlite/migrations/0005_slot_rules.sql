-- +goose Up

-- When a run that still waits ends, because it could not start in time; NULL is never.
ALTER TABLE runs ADD COLUMN start_by INTEGER;
CREATE INDEX runs_start ON runs (tenant, pipeline, start_by) WHERE state = 'queued' AND start_by IS NOT NULL;

-- When a schedule was last disabled, and last enabled after that; NULL and 0 are never.
ALTER TABLE schedules ADD COLUMN paused_at INTEGER;
ALTER TABLE schedules ADD COLUMN resumed_at INTEGER;
