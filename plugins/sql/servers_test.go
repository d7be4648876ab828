//go:build languages && unix

package main

import (
	"bufio"
	"context"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestPostgreSQL and TestMariaDB start servers of their own, which .ci/databases.sh installs.
func TestPostgreSQL(t *testing.T) {
	t.Parallel()
	dir, as := serverFolder(t)
	data := filepath.Join(dir, "data")
	run(t, as, newest(t, "initdb"), "-D", data, "-A", "trust", "-U", "uniflow", "--no-sync", "-E", "UTF8", "--no-locale")
	serve(t, as, "ready to accept connections", newest(t, "postgres"), "-D", data, "-k", dir, "-c", "listen_addresses=", "-c", "fsync=off")
	suite(t, engine{
		url: "postgres:///postgres?user=uniflow&host=" + dir,
		types: `i BIGINT, s SMALLINT, f FLOAT8, g REAL, n NUMERIC(30,10), o BOOLEAN, t TEXT, b BYTEA, d DATE, h TIME,
			ts TIMESTAMP, z TIMESTAMPTZ, j JSONB, u UUID, a INTEGER[], v INTERVAL, x TEXT`,
		values: `9223372036854775807, -3, 0.1, 0.1, 12345678901234567890.5, true, 'grüße', '\x00ff', '2026-11-23', '10:00:00.5',
			'2026-11-23 10:00:00.123456', '2026-11-23 12:00:00.5+02', '{"a": [1, 2.50]}', '123e4567-e89b-12d3-a456-426614174000', '{1,2}', '1 day', NULL`,
		rows: `[{"i":9223372036854775807,"s":-3,"f":0.1,"g":0.1,"n":"12345678901234567890.5000000000","o":true,"t":"grüße","b":{"$base64":"AP8="},"d":"2026-11-23","h":"10:00:00.5",` +
			`"ts":"2026-11-23T10:00:00.123456","z":"2026-11-23T10:00:00.5Z","j":{"a": [1, 2.50]},"u":"123e4567-e89b-12d3-a456-426614174000","a":"{1,2}","v":"1 day","x":null}]`,
		kinds: "i:integer s:integer f:float g:float32 n:decimal o:boolean t:text b:bytes d:date h:time ts:timestamp z:instant j:json u:uuid a:text v:text x:text",
		blob:  "BYTEA", number: "NUMERIC(10,2)", code: "23505", absent: "42P01", series: "SELECT pg_sleep(600)",
	})
}

func TestMariaDB(t *testing.T) {
	t.Parallel()
	dir, as := serverFolder(t)
	data, socket := filepath.Join(dir, "data"), filepath.Join(dir, "s")
	run(t, as, newest(t, "mariadb-install-db"), "--no-defaults", "--datadir="+data, "--auth-root-authentication-method=normal", "--skip-test-db", "--skip-log-bin")
	serve(t, as, "ready for connections", newest(t, "mariadbd"), "--no-defaults", "--datadir="+data, "--socket="+socket, "--skip-networking",
		"--innodb-flush-log-at-trx-commit=0", "--pid-file="+filepath.Join(dir, "pid"))
	suite(t, engine{
		url: "mysql://root@/mysql?socket=" + socket,
		types: `i BIGINT, u BIGINT UNSIGNED, f DOUBLE, g FLOAT, n DECIMAL(30,10), o BOOLEAN, t TEXT CHARACTER SET utf8mb4, b BLOB, d DATE, h TIME(1),
			ts DATETIME(6), z TIMESTAMP(1) NULL, x TEXT`,
		values: `9223372036854775807, 18446744073709551615, 0.1, 0.1, 12345678901234567890.5, true, 'grüße', x'00ff', '2026-11-23', '10:00:00.5',
			'2026-11-23 10:00:00.123456', '2026-11-23 10:00:00.5', NULL`,
		rows: `[{"i":9223372036854775807,"u":18446744073709551615,"f":0.1,"g":0.1,"n":"12345678901234567890.5000000000","o":1,"t":"grüße","b":{"$base64":"AP8="},"d":"2026-11-23","h":"10:00:00.5",` +
			`"ts":"2026-11-23T10:00:00.123456","z":"2026-11-23T10:00:00.5","x":null}]`,
		kinds: "i:integer u:integer f:float g:float32 n:decimal o:integer t:text b:bytes d:date h:time ts:timestamp z:timestamp x:text",
		blob:  "BLOB", number: "DECIMAL(10,2)", code: "mysql_1062", absent: "mysql_1146", series: "SELECT SLEEP(600)",
	})
}

// serverFolder makes a folder for a server, which must not belong to root, and says whose it is.
func serverFolder(t *testing.T) (string, *syscall.Credential) {
	t.Helper()
	dir, err := os.MkdirTemp("", "db")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if os.Getuid() != 0 {
		return dir, nil
	}
	nobody, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.Atoi(nobody.Uid)
	gid, _ := strconv.Atoi(nobody.Gid)
	if err := os.Chown(dir, uid, gid); err != nil {
		t.Fatal(err)
	}
	return dir, &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)} //nolint:gosec // ids
}

// newest finds a program, also where Debian keeps those of PostgreSQL.
func newest(t *testing.T, name string) string {
	t.Helper()
	if found, err := filepath.Glob("/usr/lib/postgresql/*/bin/" + name); err == nil && len(found) > 0 {
		return found[len(found)-1]
	}
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin") {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path
		}
	}
	t.Fatalf("%s is missing: run .ci/databases.sh", name)
	return ""
}

func command(ctx context.Context, as *syscall.Credential, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.SysProcAttr = "/", &syscall.SysProcAttr{Credential: as}
	return cmd
}

func run(t *testing.T, as *syscall.Credential, name string, args ...string) {
	t.Helper()
	if out, err := command(t.Context(), as, name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

// serve starts a server and waits until it says that it is ready.
func serve(t *testing.T, as *syscall.Credential, ready, name string, args ...string) {
	t.Helper()
	cmd := command(context.WithoutCancel(t.Context()), as, name, args...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGQUIT)
		kill := time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
		defer kill.Stop()
		_ = cmd.Wait()
	})
	lines := bufio.NewScanner(stderr)
	var said []string
	for lines.Scan() {
		if said = append(said, lines.Text()); strings.Contains(lines.Text(), ready) {
			go func() { _, _ = io.Copy(io.Discard, stderr) }()
			return
		}
	}
	t.Fatalf("%s did not start:\n%s", name, strings.Join(said, "\n"))
}
