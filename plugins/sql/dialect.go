package main

import (
	"database/sql"
	"strconv"
	"strings"
)

// dialect is how one kind of server differs from the others.
type dialect struct {
	name        string
	quote       string                     // around names
	placeholder func(n int) string         // of the value n, from 1
	values      int                        // most values of one statement
	readOnly    string                     // a statement that makes a connection read-only; empty where transactions can be
	textual     bool                       // numbers and truth are bound as text, which the server reads by the column's type
	floats      bool                       // numbers that are no integers are bound as such, for want of decimals
	kind        func(*sql.ColumnType) kind // of a column
	update      func(column string) string // what an upsert sets a column to
	conflict    func(key []string) string  // how an upsert begins
	nothing     func(key []string) string  // the whole of one that has nothing to update
	describe    func(error) (failure, bool)
}

func (d *dialect) identifier(name string) string {
	return d.quote + strings.ReplaceAll(name, d.quote, d.quote+d.quote) + d.quote
}

// names returns quoted names, with commas between them.
func (d *dialect) names(names []string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = d.identifier(n)
	}
	return strings.Join(quoted, ", ")
}

func question(int) string { return "?" }

func postgres() dialect {
	d := dialect{
		name: "PostgreSQL", quote: `"`, values: 65535, textual: true,
		placeholder: func(n int) string { return "$" + strconv.Itoa(n) },
		kind: func(c *sql.ColumnType) kind {
			return kindByName(c, map[string]kind{
				"BOOL": kindBoolean, "INT2": kindInteger, "INT4": kindInteger, "INT8": kindInteger, "OID": kindInteger,
				"FLOAT4": kindFloat32, "FLOAT8": kindFloat, "NUMERIC": kindDecimal, "BYTEA": kindBytes, "JSON": kindJSON, "JSONB": kindJSON,
				"DATE": kindDate, "TIMESTAMP": kindTimestamp, "TIMESTAMPTZ": kindInstant, "TIME": kindTime, "UUID": kindUUID,
			})
		},
		describe: describePostgres,
	}
	d.onConflict()
	return d
}

func sqLite() dialect {
	d := dialect{
		name: "SQLite", quote: `"`, values: 32766, placeholder: question, readOnly: "PRAGMA query_only = 1", floats: true,
		kind: func(c *sql.ColumnType) kind {
			return kindByName(c, map[string]kind{"DATE": kindDate, "DATETIME": kindTimestamp, "TIMESTAMP": kindTimestamp, "BLOB": kindBytes})
		},
		describe: describeSQLite,
	}
	d.onConflict()
	return d
}

// onConflict gives a dialect the upsert of PostgreSQL, which SQLite has too.
func (d *dialect) onConflict() {
	d.conflict = func(key []string) string { return " ON CONFLICT (" + d.names(key) + ") DO UPDATE SET " }
	d.nothing = func(key []string) string { return " ON CONFLICT (" + d.names(key) + ") DO NOTHING" }
	d.update = func(column string) string { return "excluded." + d.identifier(column) }
}

func mySQL() dialect {
	d := dialect{
		name: "MySQL", quote: "`", values: 65535, placeholder: question,
		kind: func(c *sql.ColumnType) kind {
			return kindByName(c, map[string]kind{
				"TINYINT": kindInteger, "SMALLINT": kindInteger, "MEDIUMINT": kindInteger, "INT": kindInteger, "BIGINT": kindInteger, "YEAR": kindInteger,
				"UNSIGNED TINYINT": kindInteger, "UNSIGNED SMALLINT": kindInteger, "UNSIGNED MEDIUMINT": kindInteger,
				"UNSIGNED INT": kindInteger, "UNSIGNED BIGINT": kindInteger,
				"FLOAT": kindFloat32, "DOUBLE": kindFloat, "DECIMAL": kindDecimal, "JSON": kindJSON,
				"DATE": kindDate, "DATETIME": kindTimestamp, "TIMESTAMP": kindTimestamp, "TIME": kindTime,
				"BLOB": kindBytes, "TINYBLOB": kindBytes, "MEDIUMBLOB": kindBytes, "LONGBLOB": kindBytes, "BINARY": kindBytes, "VARBINARY": kindBytes, "BIT": kindBytes,
			})
		},
		describe: describeMySQL,
	}
	d.conflict = func([]string) string { return " ON DUPLICATE KEY UPDATE " }
	d.nothing = func(key []string) string {
		return " ON DUPLICATE KEY UPDATE " + d.identifier(key[0]) + " = " + d.identifier(key[0])
	}
	d.update = func(column string) string { return "VALUES(" + d.identifier(column) + ")" } // the one form that MariaDB knows too
	return d
}
