//go:build unix

package dirlock

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestOneAtATime(t *testing.T) {
	t.Parallel()
	for name, take := range map[string]func(string) (*Lock, error){"a directory": Take, "a file": TakeFile} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "x")
			lock, err := take(path)
			if err != nil {
				t.Fatal(err)
			}
			second, err := take(path)
			if inUse, ok := errors.AsType[*InUseError](err); !ok || inUse.Path != path {
				t.Fatalf("a second lock: %v, %v", second, err)
			}
			if err := lock.Close(); err != nil {
				t.Fatal(err)
			}
			if lock, err = take(path); err != nil {
				t.Fatalf("after it was freed: %v", err)
			}
			if err := lock.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// A program that is being started has copies of all descriptors until its exec.
func TestAFreeLockIsFreeWhoeverHasADescriptor(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	lock, err := Take(dir)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := syscall.Dup(int(lock.file.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	inherited := os.NewFile(uintptr(fd), "inherited")
	defer inherited.Close() //nolint:errcheck // nothing is written to it
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := Take(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
}
