//go:build !linux

package bench

import (
	"errors"
	"syscall"
)

func onLoopbackOnly(_, _ string, _ syscall.RawConn) error {
	return errors.New("several destinations need Linux, where all of 127.0.0.0/8 is this machine: try --destinations 1")
}
