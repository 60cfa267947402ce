//go:build unix

package doctor

import "golang.org/x/sys/unix"

// fileLimit is how many files this process may have open. The runtime has raised it to what
// the system allows at most, as it does for delivery.
func fileLimit() (uint64, bool) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, false
	}
	return uint64(limit.Cur), true //nolint:unconvert // it is signed on some systems
}

// diskSpace is what a process may write to the disk of dir, and its size.
func diskSpace(dir string) (usable, total int64, err error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return 0, 0, err
	}
	return int64(fs.Bavail) * int64(fs.Bsize), int64(fs.Blocks) * int64(fs.Bsize), nil //nolint:unconvert // the types differ between systems
}

// writable says why this user cannot make files in dir.
func writable(dir string) error { return unix.Access(dir, unix.W_OK|unix.X_OK) }
