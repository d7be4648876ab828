package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"

	"github.com/uniflow-dev/uniflow/sdk/process"
)

type execInputs struct {
	source

	SQL        string            `json:"sql"`
	Params     []json.RawMessage `json:"params"`
	Statements []statement       `json:"statements"`
}

// statement is one to execute.
type statement struct {
	SQL    string            `json:"sql"`
	Params []json.RawMessage `json:"params"`
}

// UnmarshalJSON implements json.Unmarshaler: a text is a statement without values.
func (s *statement) UnmarshalJSON(doc []byte) error {
	if doc[0] == '"' {
		return json.Unmarshal(doc, &s.SQL)
	}
	type plain statement
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.DisallowUnknownFields()
	return dec.Decode((*plain)(s))
}

// execute executes statements in one transaction.
func execute(ctx context.Context, c *process.Call) error {
	var in execInputs
	if err := decodeWith(c, &in); err != nil {
		return err
	}
	switch {
	case in.SQL != "" && in.Statements != nil:
		return refuse("with.sql and with.statements exclude each other")
	case in.SQL != "":
		in.Statements = []statement{{in.SQL, in.Params}}
	case len(in.Statements) == 0:
		return refuse("with.sql is missing: a statement; or with.statements, several")
	}
	ctx, db, done, err := in.open(ctx, c)
	if err != nil {
		return err
	}
	defer done()
	affected := make([]int64, len(in.Statements))
	err = db.inside(ctx, false, func(tx *sql.Tx) error {
		for i, s := range in.Statements {
			if affected[i], err = s.execute(ctx, db, tx); err != nil {
				return &statementError{i + 1, len(in.Statements), err}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return c.Output("affected", affected)
}

func (s statement) execute(ctx context.Context, db *database, tx *sql.Tx) (int64, error) {
	if s.SQL == "" {
		return 0, refuse("a statement is empty")
	}
	params, err := db.bindAll(s.Params)
	if err != nil {
		return 0, err
	}
	result, err := tx.ExecContext(ctx, s.SQL, params...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}
