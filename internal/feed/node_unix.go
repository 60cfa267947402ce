//go:build unix

package feed

import (
	"io/fs"
	"syscall"
)

// node is where the file system keeps a file; 0: it does not say.
func node(info fs.FileInfo) (device, inode uint64) {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(stat.Dev), stat.Ino //nolint:unconvert // it has another type on other systems
	}
	return 0, 0
}
