package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/uniflow-dev/uniflow/sdk/abi"
	"github.com/uniflow-dev/uniflow/sdk/process"
)

// connectTime bounds the wait for a server that does not answer.
const connectTime = 10 * time.Second

// source is what all functions say of the database.
type source struct {
	Secret  string   `json:"secret"`
	DSN     string   `json:"dsn"`
	Timeout duration `json:"timeout"`
}

// duration reads texts like 90s.
type duration time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err == nil && v <= 0 {
		err = fmt.Errorf("duration %q must be more than nothing", text)
	}
	*d = duration(v)
	return err
}

// decodeWith reads the inputs of a step; a key that in does not have is a mistake.
func decodeWith(c *process.Call, in any) error {
	dec := json.NewDecoder(bytes.NewReader(c.With))
	dec.UseNumber()
	dec.DisallowUnknownFields()
	if err := dec.Decode(in); err != nil {
		return refuse("with does not have the expected shape: %v", err)
	}
	return nil
}

// refuse makes the error for a step that can never work as it is written.
func refuse(format string, args ...any) error {
	return &process.Ending{Kind: abi.KindPermanent, Code: "invalid", Err: fmt.Errorf(format, args...)}
}

// errTimeout is why work ends whose own time is over.
var errTimeout = errors.New("the time of the step's own timeout is over")

// open connects to the database. What it returns ends with done, which also bounds the time.
func (s source) open(ctx context.Context, c *process.Call) (_ context.Context, _ *database, done func(), _ error) {
	text, err := s.url(ctx, c)
	if err != nil {
		return ctx, nil, nil, err
	}
	db, err := openURL(text)
	if err != nil {
		return ctx, nil, nil, err
	}
	cancel := func() {}
	if s.Timeout > 0 {
		ctx, cancel = context.WithTimeoutCause(ctx, time.Duration(s.Timeout), errTimeout)
	}
	return ctx, db, func() { cancel(); _ = db.Close() }, nil
}

// url returns the URL of the database.
func (s source) url(ctx context.Context, c *process.Call) (string, error) {
	switch {
	case s.Secret != "" && s.DSN != "":
		return "", refuse("with.secret and with.dsn exclude each other")
	case s.Secret != "":
		return c.Services(ctx).Secret(s.Secret)
	case s.DSN == "":
		return "", refuse("with.secret is missing: the name of a secret that holds the URL of the database; a URL without a password may stand in with.dsn")
	}
	if u, err := url.Parse(s.DSN); err == nil {
		if _, has := u.User.Password(); has || u.Query().Has("password") {
			return "", refuse("with.dsn holds a password, which would stand in the ledger: keep the URL as a secret, and name that in with.secret")
		}
	}
	return s.DSN, nil
}

// database is a connection pool of one connection, and how its server speaks.
type database struct {
	*sql.DB
	dialect
}

// openURL opens a database. Nothing of the URL is in an error but its scheme.
func openURL(text string) (*database, error) {
	scheme, rest, _ := strings.Cut(text, ":")
	var db *sql.DB
	var speaks dialect
	var err error
	switch scheme {
	case "postgres", "postgresql":
		db, err = openPostgres(text)
		speaks = postgres()
	case "mysql", "mariadb":
		db, err = openMySQL(text)
		speaks = mySQL()
	case "sqlite":
		db, err = openSQLite(rest)
		speaks = sqLite()
	default:
		err = errors.New("it must begin with one of postgres://, mysql:// and sqlite: in front of the rest")
	}
	if err != nil {
		return nil, refuse("the URL of the database: %w", err)
	}
	db.SetMaxOpenConns(1)
	return &database{db, speaks}, nil
}

func openPostgres(text string) (*sql.DB, error) {
	config, err := pgx.ParseConfig(text)
	if err != nil {
		return nil, errors.New("it is no URL of a PostgreSQL database, such as postgres://user:password@host:5432/name?sslmode=verify-full")
	}
	config.ConnectTimeout = connectTime
	config.RuntimeParams["application_name"] = "uniflow"
	return stdlib.OpenDB(*config), nil
}

func openMySQL(text string) (*sql.DB, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" && u.Query().Get("socket") == "" {
		return nil, errors.New("it is no URL of a MySQL database, such as mysql://user:password@host:3306/name?tls=true")
	}
	config := mysql.NewConfig() // which lets no server ask for files, and takes one statement at a time
	config.User = u.User.Username()
	config.Passwd, _ = u.User.Password()
	config.DBName = strings.TrimPrefix(u.Path, "/")
	config.Net, config.Addr = "tcp", net.JoinHostPort(u.Hostname(), port(u, "3306"))
	config.Timeout = connectTime
	config.ClientFoundRows = true
	config.Params = map[string]string{"time_zone": "'+00:00'", "sql_mode": "CONCAT(@@sql_mode, ',STRICT_ALL_TABLES')"}
	for name, values := range u.Query() {
		switch value := values[0]; {
		case name == "socket":
			config.Net, config.Addr = "unix", value
		case name == "tls" && value == "true":
			config.TLS = &tls.Config{ServerName: u.Hostname(), MinVersion: tls.VersionTLS12}
		case name == "tls" && value == "false":
		default:
			return nil, fmt.Errorf("the parameter %q is unknown: there are tls=true, tls=false and socket=/path", name)
		}
	}
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return nil, errors.New("it is no URL of a MySQL database")
	}
	return sql.OpenDB(connector), nil
}

func port(u *url.URL, otherwise string) string {
	if p := u.Port(); p != "" {
		return p
	}
	return otherwise
}

// openSQLite opens the file at a path; one that does not exist is made only where the parameter create=true says so.
func openSQLite(rest string) (*sql.DB, error) {
	path, query, _ := strings.Cut(strings.TrimPrefix(rest, "//"), "?")
	values, err := url.ParseQuery(query)
	if err != nil || !filepath.IsAbs(path) {
		return nil, errors.New("it must be sqlite: and an absolute path, such as sqlite:/var/lib/shop.db")
	}
	mode := "rw"
	for name := range values {
		switch {
		case name == "create" && values.Get(name) == "true":
			mode = "rwc"
		case name == "create" && values.Get(name) == "false":
		default:
			return nil, fmt.Errorf("the parameter %q is unknown: there is create=true", name)
		}
	}
	if _, err := os.Stat(path); mode == "rw" && err != nil {
		return nil, fmt.Errorf("%w; add ?create=true to make it", err)
	}
	name := (&url.URL{Scheme: "file", Path: path}).String() + "?mode=" + mode + "&_pragma=busy_timeout(10000)&_pragma=foreign_keys(1)&_txlock=immediate"
	return sql.Open("sqlite", name)
}

// inside executes work in one transaction, which is given up when work fails.
func (d *database) inside(ctx context.Context, readOnly bool, work func(*sql.Tx) error) error {
	if readOnly && d.readOnly != "" {
		if _, err := d.ExecContext(ctx, d.readOnly); err != nil {
			return d.explain(ctx, err)
		}
	}
	tx, err := d.BeginTx(ctx, &sql.TxOptions{ReadOnly: readOnly})
	if err != nil {
		return d.explain(ctx, err)
	}
	defer func() { _ = tx.Rollback() }() // does nothing after a commit
	if err := work(tx); err != nil {
		return d.explain(ctx, err)
	}
	return d.explain(ctx, tx.Commit())
}
