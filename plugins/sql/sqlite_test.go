package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/uniflow-dev/uniflow/host/flow"
)

func sqliteEngine(t *testing.T) engine {
	t.Helper()
	return engine{
		url:    "sqlite:" + filepath.ToSlash(filepath.Join(t.TempDir(), "a b.db")) + "?create=true",
		types:  "i INTEGER, f REAL, t TEXT, b BLOB, n NUMERIC, d DATE, ts DATETIME, z TEXT",
		values: "9223372036854775807, 0.1, 'grüße', x'00ff', 12.5, '2026-11-23', '2026-11-23T10:00:00.5', NULL",
		rows:   `[{"i":9223372036854775807,"f":0.1,"t":"grüße","b":{"$base64":"AP8="},"n":12.5,"d":"2026-11-23","ts":"2026-11-23T10:00:00.5","z":null}]`,
		kinds:  "i:text f:text t:text b:bytes n:text d:date ts:timestamp z:text",
		blob:   "BLOB", number: "TEXT", code: "sqlite_1555", absent: "sqlite_1",
		series: "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT max(n) FROM r",
	}
}

func TestSQLite(t *testing.T) { //nolint:tparallel // its cases share one module
	t.Parallel()
	suite(t, sqliteEngine(t))
}

func TestDatabaseIsNamedWell(t *testing.T) {
	t.Parallel()
	c := newClient(t, sqliteEngine(t))
	missing := filepath.ToSlash(filepath.Join(t.TempDir(), "none.db"))
	for dsn, message := range map[string]string{
		"":                                "with.secret is missing",
		"postgres://a:hunter2@db.test/x":  "holds a password",
		"postgres://db.test/x?password=p": "holds a password",
		"oracle:x":                        "must begin with",
		"sqlite:rel.db":                   "absolute path",
		"sqlite:" + missing:               "create=true",
		"sqlite:" + missing + "?mode=rwc": `"mode" is unknown`,
		"mysql://":                        "no URL of a MySQL",
		"mysql://h/d?allowAllFiles=true":  `"allowAllFiles" is unknown`,
		"postgres://h:port/d":             "no URL of a PostgreSQL",
	} {
		w := with{"sql": "SELECT 1", "dsn": dsn}
		out, err := c.module.Call(t.Context(), inputOf("query", w))
		if err != nil || out.Verdict != flow.VerdictPermanent || out.Code != "invalid" || !strings.Contains(out.Message, message) || strings.Contains(out.Message, "hunter2") {
			t.Errorf("%q: %v %q %q, %v, want %q", dsn, out.Verdict, out.Code, out.Message, err, message)
		}
	}
	c.refused("query", with{"sql": "SELECT 1", "dsn": "sqlite:/x"}, flow.VerdictPermanent, "invalid", "exclude each other")
	out, err := c.module.Call(t.Context(), inputOf("query", with{"sql": "SELECT 1", "secret": "OTHER"}))
	if err != nil || out.Verdict != flow.VerdictPermanent || out.Code != "denied" {
		t.Errorf("a secret that is not granted: %+v, %v", out, err)
	}
	out, err = c.module.Call(t.Context(), inputOf("query", with{"sql": "SELECT 1", "dsn": "postgres://127.0.0.1:1/x?connect_timeout=5"}))
	if err != nil || out.Verdict != flow.VerdictRetry || out.Code != "unavailable" {
		t.Errorf("nobody listens: %+v, %v", out, err)
	}
	out, err = c.module.Call(t.Context(), inputOf("query", with{"sql": "SELECT 1", "dsn": "mysql://127.0.0.1:1/x"}))
	if err != nil || out.Verdict != flow.VerdictRetry || out.Code != "unavailable" {
		t.Errorf("nobody listens: %+v, %v", out, err)
	}
	if _, err := os.Stat(missing); !os.IsNotExist(err) {
		t.Errorf("a file that was not asked for: %v", err)
	}
}
