-- +goose Up

-- The run that executed a step whose outputs a rerun has taken over; empty where its own run did.
ALTER TABLE steps ADD COLUMN reused TEXT NOT NULL DEFAULT '';
