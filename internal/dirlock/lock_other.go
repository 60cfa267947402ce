//go:build !unix

package dirlock

import (
	"errors"
	"os"
)

// lockFile takes the lock of f for this process. Where there is no flock we refuse rather
// than let two processes spoil one directory.
func lockFile(*os.File) error {
	return errors.New("this system has no file locks: do without")
}

// unlockFile has nothing to do: no lock was taken.
func unlockFile(*os.File) error { return nil }
