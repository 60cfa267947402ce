//go:build linux

package servers

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver of DB

	"github.com/auditstream/auditstream/internal/closedport"
)

// Postgres is a PostgreSQL server of the test's own, in a temporary folder.
type Postgres struct {
	URL string

	dir  string // of its data
	port int
	as   *syscall.Credential // whom it runs as; nil: the test's user
	cmd  *exec.Cmd           // of the server that runs; nil: none does
	gone chan struct{}       // closed when cmd has ended
}

// StartPostgres makes a cluster and starts its server. PostgreSQL refuses to run as root;
// a test that is root has it run as postgres, or as nobody. It ends with the test.
func StartPostgres(t *testing.T) *Postgres {
	t.Helper()
	p := &Postgres{port: closedport.Find(t), as: unprivileged(t)}
	p.URL = fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable", p.port)
	root, err := os.MkdirTemp("/tmp", "auditstream-postgres-") //nolint:usetesting // another user may not enter t.TempDir
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(root); err != nil {
			t.Error(err)
		}
	})
	if p.as != nil {
		if err := os.Chown(root, int(p.as.Uid), int(p.as.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	p.dir = filepath.Join(root, "data")
	init := p.command(t, "initdb", "--pgdata", p.dir, "--username", "postgres", "--auth", "trust", "--encoding", "UTF8", "--locale", "C", "--no-sync")
	if out, err := init.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	t.Cleanup(func() {
		if p.cmd != nil {
			p.Crash(t)
		}
		if t.Failed() {
			showTail(t, "PostgreSQL", filepath.Join(root, "server.log"))
		}
	})
	p.Start(t)
	return p
}

// unprivileged is whom servers run as when the test is root.
func unprivileged(t *testing.T) *syscall.Credential {
	t.Helper()
	if os.Getuid() != 0 {
		return nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.ParseUint(u.Uid, 10, 32)
		gid, gidErr := strconv.ParseUint(u.Gid, 10, 32)
		if uidErr == nil && gidErr == nil {
			return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		}
	}
	t.Fatal("PostgreSQL does not run as root, and there is neither a user postgres nor nobody")
	return nil
}

// command is one of PostgreSQL's programs. Debian keeps those of servers out of the PATH.
func (p *Postgres) command(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		found, globErr := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
		if globErr != nil || len(found) == 0 {
			t.Fatalf("there is no %s: install PostgreSQL (on Debian: apt-get install postgresql)", name)
		}
		path = found[len(found)-1]
	}
	cmd := exec.CommandContext(context.Background(), path, args...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.as, Pdeathsig: syscall.SIGKILL}
	return cmd
}

// Start starts the server and returns when it answers.
func (p *Postgres) Start(t *testing.T) {
	t.Helper()
	log, err := os.OpenFile(filepath.Join(filepath.Dir(p.dir), "server.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	p.cmd = p.command(
		t, "postgres", "-D", p.dir, "-p", strconv.Itoa(p.port), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=",
		"-c", "max_connections=200",
	)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	err = p.cmd.Start()
	if closeErr := log.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		t.Fatalf("start PostgreSQL: %v", err)
	}
	gone := make(chan struct{})
	p.gone = gone
	go func(cmd *exec.Cmd) {
		_ = cmd.Wait() // the log says why it ended
		close(gone)
	}(p.cmd)
	db := p.DB(t)
	defer db.Close() //nolint:errcheck // it was used to ask, nothing else
	Await(t, 2*time.Minute, "PostgreSQL answers", func() bool {
		select {
		case <-gone:
			said, err := os.ReadFile(filepath.Join(filepath.Dir(p.dir), "server.log"))
			t.Fatalf("PostgreSQL ended by itself:\n%s", bytes.Join([][]byte{said, []byte(fmt.Sprint(err))}, nil))
		default:
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		return db.PingContext(ctx) == nil
	})
}

// Crash ends the server at once, as a loss of power would: what was not written is lost.
// It returns when the server is gone.
func (p *Postgres) Crash(t *testing.T) {
	t.Helper()
	// SIGQUIT to the server ends its children too; after SIGKILL they would linger.
	if err := p.cmd.Process.Signal(syscall.SIGQUIT); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatal(err)
	}
	<-p.gone
	p.cmd = nil
}

// DB opens the database.
func (p *Postgres) DB(t *testing.T) *sql.DB {
	t.Helper()
	db, err := sql.Open("pgx", p.URL)
	if err != nil {
		t.Fatal(err)
	}
	return db
}
