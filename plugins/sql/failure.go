package main

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"

	"github.com/uniflow-dev/uniflow/sdk/abi"
	"github.com/uniflow-dev/uniflow/sdk/process"
)

// failure is what a server says, with whether to try again.
type failure struct {
	kind    abi.Kind
	code    string
	message string
}

// statementError says which of several statements failed.
type statementError struct {
	n, of int
	err   error
}

func (e *statementError) Error() string { return e.err.Error() }
func (e *statementError) Unwrap() error { return e.err }

// explain turns an error of a driver into the end of the attempt. Where the fault is the statement's or a value's, trying
// again is useless; where it is the moment's, it is not.
func (d *database) explain(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*process.Ending](err); ok {
		return err
	}
	if _, ok := errors.AsType[*process.Refusal](err); ok {
		return err
	}
	if ctx.Err() != nil {
		if errors.Is(context.Cause(ctx), errTimeout) {
			return process.Fail("timeout", errors.New("the database did not answer within with.timeout"))
		}
		return fmt.Errorf("%s: %w", d.name, context.Cause(ctx))
	}
	f, known := d.describe(err)
	if !known {
		f = unknown(err)
	}
	text := d.name + ": " + f.message
	if s, ok := errors.AsType[*statementError](err); ok && s.of > 1 {
		text = fmt.Sprintf("statement %d of %d: %s", s.n, s.of, text)
	}
	return &process.Ending{Kind: f.kind, Code: f.code, Err: errors.New(text)}
}

// unknown is an error that no server sent: the network's, mostly.
func unknown(err error) failure {
	if _, ok := errors.AsType[net.Error](err); ok || errors.Is(err, driver.ErrBadConn) || errors.Is(err, mysql.ErrInvalidConn) {
		return failure{abi.KindRetry, "unavailable", err.Error()}
	}
	return failure{abi.KindFailed, "database", err.Error()}
}

func describePostgres(err error) (failure, bool) {
	if said, ok := errors.AsType[*pgconn.PgError](err); ok {
		parts := slices.DeleteFunc([]string{said.Message, said.Detail, said.Hint}, func(s string) bool { return s == "" })
		return failure{kindOfState(said.Code), said.Code, strings.Join(parts, "; ")}, true
	}
	if failed, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return failure{abi.KindRetry, "unavailable", failed.Error()}, true
	}
	return failure{}, false
}

// kindOfState reads a code of the SQL standard, as PostgreSQL extends it.
func kindOfState(state string) abi.Kind {
	if len(state) != 5 {
		return abi.KindFailed
	}
	switch state[:2] {
	case "08", "40", "53", "55", "57", "58": // connection, conflict of transactions, resources, locks, operator, system
		return abi.KindRetry
	case "22", "23", "28", "42", "3D", "3F", "21", "25", "0A": // data, constraints, who asks, syntax and names, read-only
		return abi.KindPermanent
	}
	return abi.KindFailed
}

func describeMySQL(err error) (failure, bool) {
	said, ok := errors.AsType[*mysql.MySQLError](err)
	if !ok {
		return failure{}, false
	}
	kind := kindOfState(string(said.SQLState[:]))
	switch said.Number {
	case 1205, 1213, 1040, 1053, 1203, 2006, 2013: // lock wait, deadlock, too many connections, shutdown
		kind = abi.KindRetry
	case 1364, 1366, 1264, 1265, 1292, 1406, 1048, 1062, 1451, 1452, 3819, 4025, 1792, 1045, 1044, 1049: // values, constraints, read-only, access
		kind = abi.KindPermanent
	}
	return failure{kind, fmt.Sprintf("mysql_%d", said.Number), said.Message}, true
}

func describeSQLite(err error) (failure, bool) {
	said, ok := errors.AsType[*sqlite.Error](err)
	if !ok {
		return failure{}, false
	}
	kind := abi.KindPermanent
	switch said.Code() & 0xff { // the rest says more
	case 5, 6: // busy, locked
		kind = abi.KindRetry
	case 7, 10, 13, 14: // memory, disk, full, cannot open
		kind = abi.KindFailed
	}
	return failure{kind, fmt.Sprintf("sqlite_%d", said.Code()), strings.TrimSpace(said.Error())}, true
}
