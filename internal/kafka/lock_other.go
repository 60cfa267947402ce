//go:build !unix

package kafka

import (
	"errors"
	"os"
)

// lockFile takes the lock of f for this process. Where there is no flock we refuse rather
// than let two processes spoil one directory; without a directory the broker still runs.
func lockFile(*os.File) error {
	return errors.New("this system has no file locks: leave the directory empty to keep everything in memory")
}
