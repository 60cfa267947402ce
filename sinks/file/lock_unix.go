//go:build unix

package file

import (
	"errors"
	"syscall"
)

// lockFile locks an open file until unlockFile, or fails at once with errBusy if somebody
// else has it locked.
func lockFile(fd uintptr) error {
	err := syscall.Flock(int(fd), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return errBusy
	}
	return err
}

// unlockFile frees the lock, whoever has a descriptor of the open file still.
func unlockFile(fd uintptr) error { return syscall.Flock(int(fd), syscall.LOCK_UN) }
