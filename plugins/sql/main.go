// Program sql is a process plugin that speaks to PostgreSQL, MySQL, MariaDB and SQLite: it reads rows into outputs or an
// artifact, loads rows back, and executes statements. Values are always bound, never put into the text of a statement.
package main

import (
	"encoding/json"

	"github.com/uniflow-dev/uniflow/sdk/abi"
	"github.com/uniflow-dev/uniflow/sdk/process"
)

func main() {
	process.Serve(process.Plugin{
		Descriptor: abi.Descriptor{
			Name: "sql", Version: "1.0.0", Description: "Reads from and writes to PostgreSQL, MySQL, MariaDB and SQLite.",
			Functions: map[string]abi.Function{
				"query": {Description: "Reads rows.", With: schema(queryKeys), Outputs: json.RawMessage(queryOutputs)},
				"load":  {Description: "Writes rows in one transaction.", With: schema(loadKeys), Outputs: json.RawMessage(loadOutputs)},
				"exec":  {Description: "Executes statements in one transaction.", With: schema(execKeys), Outputs: json.RawMessage(execOutputs)},
			},
		},
		Functions: map[string]process.Func{"query": query, "load": load, "exec": execute},
	})
}

// schema is that of the inputs: the keys that all functions have, and keys.
func schema(keys string) json.RawMessage {
	return json.RawMessage(`{"type": "object", "additionalProperties": false, "properties": {` + sharedKeys + keys + `}}`)
}

const sharedKeys = `
  "secret": {"type": "string", "description": "The name of the secret that holds the URL of the database."},
  "dsn": {"type": "string", "description": "The URL itself, where there is no password in it."},
  "timeout": {"type": "string", "description": "When the work is given up, such as 90s. Defaults to the deadline of the step."},`

const queryKeys = `
  "sql": {"type": "string", "minLength": 1, "description": "One statement that gives rows."},
  "params": {"type": "array", "description": "Values for $1, $2 (PostgreSQL) or ? (the others)."},
  "format": {"enum": ["rows", "ndjson", "csv"], "description": "The output rows, or an artifact. Defaults to rows."},
  "null": {"type": "string", "description": "What stands for NULL in CSV. Defaults to nothing."},
  "max_rows": {"type": "integer", "minimum": 1, "description": "Defaults to 10,000, for an artifact to 10,000,000."},
  "max_bytes": {"type": "integer", "minimum": 1, "description": "Defaults to 1 MiB, for an artifact to 64 MiB."}`

const queryOutputs = `{"type": "object", "properties": {
  "rows": {"description": "A list of objects, or an artifact."},
  "count": {"type": "integer"},
  "columns": {"type": "array", "items": {"type": "object", "properties": {"name": {"type": "string"}, "type": {"type": "string"}}}}}}`

const loadKeys = `
  "table": {"type": "string", "minLength": 1, "description": "The table, or schema.table."},
  "rows": {"description": "A list of objects, or an artifact of NDJSON, JSON or CSV."},
  "format": {"enum": ["ndjson", "json", "csv"], "description": "How to read the artifact. Defaults to what its media type says."},
  "null": {"type": "string", "description": "What stands for NULL in CSV. Defaults to nothing."},
  "columns": {"type": "array", "items": {"type": "string"}, "description": "The columns to write. Defaults to those of the first row."},
  "key": {"type": "array", "items": {"type": "string"}, "description": "Columns by which a row is known: one that is there already is updated."}`

const loadOutputs = `{"type": "object", "properties": {"count": {"type": "integer", "description": "Rows that were written."}}}`

const execKeys = `
  "sql": {"type": "string", "minLength": 1, "description": "One statement."},
  "params": {"type": "array", "description": "Values for $1, $2 (PostgreSQL) or ? (the others)."},
  "statements": {"type": "array", "description": "Several, instead of sql: texts, or objects with sql and params."}`

const execOutputs = `{"type": "object", "properties": {
  "affected": {"type": "array", "items": {"type": "integer"}, "description": "Rows that each statement changed."}}}`
