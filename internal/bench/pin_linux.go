package bench

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// pin has a process use the first n processors only. Threads that exist already are moved
// one by one; those that come inherit it.
func pin(pid, n int) error {
	var set unix.CPUSet
	for i := range n {
		set.Set(i)
	}
	threads, err := os.ReadDir("/proc/" + strconv.Itoa(pid) + "/task")
	if err != nil {
		return err
	}
	for _, t := range threads {
		id, err := strconv.Atoi(t.Name())
		if err != nil {
			continue
		}
		if err := unix.SchedSetaffinity(id, &set); err != nil {
			return err
		}
	}
	return nil
}
