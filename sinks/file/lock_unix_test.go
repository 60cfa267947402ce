//go:build unix

package file

import (
	"os"
	"syscall"
	"testing"
)

// A program that is being started, as one that prints a secret, has copies of all descriptors
// until its exec.
func TestAFreeFileIsFreeWhoeverHasADescriptor(t *testing.T) {
	dir := t.TempDir()
	s := newSink(t, dir, nil)
	honest := s.open
	s.open = func(path string) (handle, error) {
		h, err := honest(path)
		if err != nil {
			return nil, err
		}
		fd, err := syscall.Dup(int(h.Fd()))
		if err != nil {
			t.Fatal(err)
		}
		inherited := os.NewFile(uintptr(fd), "inherited")
		t.Cleanup(func() { _ = inherited.Close() })
		return h, nil
	}
	mustDeliver(t, s, `{"n":1}`)
	mustDeliver(t, s, `{"n":2}`)
	mustHold(t, dir, `{"n":1}`, `{"n":2}`)
}
