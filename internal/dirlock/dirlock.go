// Package dirlock keeps a directory for one process.
package dirlock

import (
	"fmt"
	"os"
	"path/filepath"
)

// Name is the file that one process at a time holds a lock on.
const Name = "auditstream.lock"

// InUseError says that another process has the lock.
type InUseError struct {
	Dir string
	Err error
}

func (e *InUseError) Error() string {
	return fmt.Sprintf("another process uses %s: stop it, or give another directory (%v)", e.Dir, e.Err)
}

func (e *InUseError) Unwrap() error { return e.Err }

// Take makes dir and takes its lock; closing the file frees it. The lock is the kernel's: it
// ends with the process however that ends, so a killed one leaves nothing behind that would
// have to be cleared.
func Take(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, Name), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := lockFile(f); err != nil {
		_ = f.Close()
		return nil, &InUseError{dir, err}
	}
	return f, nil
}
