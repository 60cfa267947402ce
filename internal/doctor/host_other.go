//go:build !unix

package doctor

import "errors"

func fileLimit() (uint64, bool) { return 0, false }

func diskSpace(string) (usable, total int64, err error) {
	return 0, 0, errors.New("the space of a disk is not known on this system")
}

// writable is not known here.
func writable(string) error { return nil }
