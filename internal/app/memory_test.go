package app

import (
	"runtime/debug"
	"testing"
)

func TestTheMemoryTargetIsTwiceTheBudgetAndAPartForEachKindAndStream(t *testing.T) {
	tests := []struct {
		name    string
		budget  int64
		kinds   int
		streams int
		want    int64
	}{
		{"the default, one kind", 256 << 20, 1, 0, 640 << 20},
		{"the default, three kinds", 256 << 20, 3, 0, 896 << 20},
		{"ten thousand streams", 256 << 20, 1, 10_000, 640<<20 + 10_000*32<<10},
		{"the least", 16 << 20, 1, 0, 160 << 20},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := memoryTarget(tt.budget, tt.kinds, tt.streams); got != tt.want {
				t.Errorf("%d MiB, want %d", got>>20, tt.want>>20)
			}
		})
	}
}

func TestAnOperatorsOwnMemoryLimitStays(t *testing.T) {
	former := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(former)
	t.Setenv("GOMEMLIMIT", "1GiB")
	aimAt(100 << 20)
	if got := debug.SetMemoryLimit(-1); got != former {
		t.Errorf("the limit is %d, want %d as before", got, former)
	}
	t.Setenv("GOMEMLIMIT", "")
	aimAt(1 << 40)
	if got := debug.SetMemoryLimit(-1); got != 1<<40 {
		t.Errorf("the limit is %d, want %d", got, 1<<40)
	}
}
