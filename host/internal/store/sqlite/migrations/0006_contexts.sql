-- +goose Up

-- The context of a run that is large: SQLite reads a row from its beginning, and who lists runs must not read it.
CREATE TABLE IF NOT EXISTS contexts (
    run  INTEGER PRIMARY KEY REFERENCES runs (seq) ON DELETE CASCADE,
    body TEXT NOT NULL
);
INSERT INTO contexts (run, body)
    SELECT seq, json_extract(body, '$.context') FROM runs
    WHERE octet_length(body) > 2048 AND json_valid(body) AND json_type(body, '$.context') = 'object';
UPDATE runs SET body = json_remove(body, '$.context') WHERE seq IN (SELECT run FROM contexts);

-- Events say what happened; contexts and outputs are in the record of the run.
UPDATE events SET body = json_remove(body, '$.outputs', '$.list', '$.detail.context')
    WHERE octet_length(body) > 2048 AND json_valid(body);
