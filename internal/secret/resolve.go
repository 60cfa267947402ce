package secret

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"time"
)

const (
	// MaxSize bounds a secret, in bytes. The longest real ones, private keys in PEM,
	// need about 3 KiB.
	MaxSize = 64 << 10
	// MaxExec bounds how long the program of an exec reference may run.
	MaxExec = 10 * time.Second

	// afterKill is how long we wait for output once the program was killed: a child
	// of it may keep the pipe open for ever.
	afterKill = time.Second
)

// Resolve reads the secret anew, so that a changed secret counts from the next call
// on. Newlines at the end of a file or of a program's output are not part of the
// secret. A secret that is absent, blank or larger than [MaxSize] is an error, so is
// a program that fails or runs longer than [MaxExec]. Errors name the reference,
// never the value, and never what a program wrote to its standard error.
func (r Ref) Resolve(ctx context.Context) (string, error) {
	if err := r.Check(); err != nil {
		return "", err
	}
	if ctx.Err() != nil {
		return "", fmt.Errorf("secret %v: %w", r, context.Cause(ctx))
	}
	var value string
	var err error
	switch {
	case r.keep || r.value != nil:
		err = errors.New("stands in a draft: it is read once it is sealed")
	case r.Sealed != "" && r.open == nil:
		err = errors.New("is sealed, and this process has no key to open it: see secrets in the configuration")
	case r.Sealed != "":
		value, err = r.open(ctx)
	case r.Env != "":
		value, err = fromEnv(r.Env)
	case r.File != "":
		value, err = fromFile(r.File)
	default:
		value, err = fromExec(ctx, r.Exec)
	}
	if err == nil && len(value) > MaxSize {
		err = errTooLarge
	}
	if err == nil && strings.TrimSpace(value) == "" {
		err = errors.New("is empty")
	}
	if err != nil {
		return "", fmt.Errorf("secret %v: %w", r, err)
	}
	return value, nil
}

// Exposed says who beside its owner and group may read the secret's file, "" where
// nobody or nothing is known. It is advice, not an error: in a container the file
// modes often are not the operator's to choose.
func (r Ref) Exposed() string {
	if r.File == "" {
		return ""
	}
	info, err := os.Stat(r.File)
	if err != nil || info.Mode().Perm()&0o004 == 0 {
		return ""
	}
	return fmt.Sprintf("every user of this machine may read it (mode %#o): chmod o-rwx", info.Mode().Perm())
}

var errTooLarge = fmt.Errorf("is larger than %d bytes", MaxSize)

func fromEnv(name string) (string, error) {
	value, ok := os.LookupEnv(name)
	if !ok {
		return "", errors.New("this environment variable is not set")
	}
	return value, nil
}

func fromFile(path string) (string, error) {
	// Stat first: opening a FIFO without a writer would block for ever.
	info, err := os.Stat(path)
	if err != nil {
		return "", withoutPath(err)
	}
	if !info.Mode().IsRegular() {
		return "", errors.New("is not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return "", withoutPath(err)
	}
	defer f.Close() //nolint:errcheck // only read
	// Two bytes more than allowed, so that one line end does not make it too large.
	value, err := io.ReadAll(io.LimitReader(f, MaxSize+int64(len("\r\n"))+1))
	if err != nil {
		return "", withoutPath(err)
	}
	return trim(value), nil
}

func fromExec(ctx context.Context, argv []string) (string, error) {
	limited, cancel := context.WithTimeoutCause(ctx, MaxExec, fmt.Errorf("ran longer than %v", MaxExec))
	defer cancel()
	cmd := exec.CommandContext(limited, argv[0], argv[1:]...)
	cmd.WaitDelay = afterKill
	out := &bounded{left: MaxSize + len("\r\n")}
	cmd.Stdout = out // Stdin and Stderr are the null device
	err := cmd.Run()
	switch {
	case out.over:
		return "", errTooLarge
	case err == nil:
		return trim(out.data), nil
	case limited.Err() != nil:
		return "", context.Cause(limited)
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return "", fmt.Errorf("the program failed with %v; run it by hand to see why", exit.ProcessState)
	}
	return "", err
}

// bounded takes up to left bytes and then fails, which ends the program's output.
type bounded struct {
	data []byte
	left int
	over bool
}

func (b *bounded) Write(p []byte) (int, error) {
	if len(p) > b.left {
		b.over = true
		return 0, errTooLarge
	}
	b.left -= len(p)
	b.data = append(b.data, p...)
	return len(p), nil
}

func trim(value []byte) string { return strings.TrimRight(string(value), "\r\n") }

// withoutPath drops the path, which the reference names already.
func withoutPath(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	return err
}
