//go:build unix

package dirlock

import (
	"os"
	"syscall"
)

// lockFile takes the lock of f for this process, or fails at once.
func lockFile(f *os.File) error {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
}

// unlockFile frees the lock, whoever has a descriptor of f still.
func unlockFile(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_UN) }
