// Package dirlock keeps a directory, or what a file is about, for one process.
package dirlock

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Name is the file that one process at a time holds a lock on.
const Name = "auditstream.lock"

// InUseError says that another process has the lock.
type InUseError struct {
	Path string
	What string // Path is: a directory or a file
	Err  error
}

func (e *InUseError) Error() string {
	return fmt.Sprintf("another process uses %s: stop it, or give another %s (%v)", e.Path, e.What, e.Err)
}

func (e *InUseError) Unwrap() error { return e.Err }

// Lock is a lock that this process has.
type Lock struct{ file *os.File }

// Close frees the lock. It is unlocked and not only closed: the kernel's lock belongs to all
// descriptors of the open file, and a program that another goroutine starts has one of them until
// its exec. Who takes the lock meanwhile would be told of another process that there is not.
func (l *Lock) Close() error { return errors.Join(unlockFile(l.file), l.file.Close()) }

// Take makes dir and takes its lock. The lock is the kernel's: it ends with the process however
// that ends, so a killed one leaves nothing behind that would have to be cleared.
func Take(dir string) (*Lock, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return take(filepath.Join(dir, Name), dir, "directory")
}

// TakeFile takes the lock of a file that is replaced as a whole, and so can hold none itself:
// path.lock, which stays there. Otherwise it is as Take.
func TakeFile(path string) (*Lock, error) { return take(path+".lock", path, "file") }

func take(name, path, what string) (*Lock, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := lockFile(f); err != nil {
		_ = f.Close()
		return nil, &InUseError{path, what, err}
	}
	return &Lock{f}, nil
}
