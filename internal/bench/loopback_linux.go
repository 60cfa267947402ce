package bench

import "syscall"

// onLoopbackOnly binds a socket to the loopback device: whatever address it listens at,
// nothing from outside of this machine reaches it.
func onLoopbackOnly(_, _ string, c syscall.RawConn) error {
	var failed error
	err := c.Control(func(fd uintptr) {
		failed = syscall.SetsockoptString(int(fd), syscall.SOL_SOCKET, syscall.SO_BINDTODEVICE, "lo")
	})
	if err != nil {
		return err
	}
	return failed
}
