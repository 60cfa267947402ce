//go:build linux

package servers

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
)

// Disk is a small file system that can be filled up.
type Disk struct{ Dir string }

// NewDisk mounts one of that many bytes. Only root may; the test is skipped for others.
func NewDisk(t *testing.T, size int) *Disk {
	t.Helper()
	dir := t.TempDir()
	err := syscall.Mount("none", dir, "tmpfs", 0, "size="+strconv.Itoa(size))
	if errors.Is(err, syscall.EPERM) {
		t.Skip("a disk that is full: only root can mount a small one")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// Whoever still has files open there is killed by a cleanup of its own.
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return &Disk{dir}
}

func (d *Disk) ballast() string { return filepath.Join(d.Dir, "ballast") }

// Fill leaves no byte.
func (d *Disk) Fill(t *testing.T) {
	t.Helper()
	f, err := os.OpenFile(d.ballast(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(f, zeros{})
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("filling the disk ended with %v", err)
	}
}

// Clear makes room again.
func (d *Disk) Clear(t *testing.T) {
	t.Helper()
	if err := os.Remove(d.ballast()); err != nil {
		t.Fatal(err)
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}
