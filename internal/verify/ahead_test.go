package verify

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Several are under way, they are taken in their order, and one that waits for its turn gets
// it.
func TestAheadKeepsOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const width = 4
		var under, most atomic.Int64
		var keys, got []int
		for i := range 50 {
			keys = append(keys, i)
		}
		err := ahead(t.Context(), keys, width, func(_ context.Context, key int, turn <-chan struct{}) (int, error) {
			defer under.Add(-1)
			most.Store(max(most.Load(), under.Add(1)))
			<-time.After(time.Duration(100-key%7*10) * time.Millisecond)
			if key%3 == 0 {
				<-turn
			}
			return -key, nil
		}, func(key, n int) error {
			if n != -key {
				t.Errorf("key %d got %d", key, n)
			}
			got = append(got, key)
			return nil
		})
		if err != nil || !slices.Equal(got, keys) {
			t.Errorf("%v: %v", err, got)
		}
		if most.Load() != width {
			t.Errorf("%d at once, want %d", most.Load(), width)
		}
	})
}

// What fails ends the others, and nothing is left behind.
func TestAheadEndsTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("broken")
		err := ahead(t.Context(), []int{0, 1, 2, 3}, 3, func(ctx context.Context, key int, turn <-chan struct{}) (int, error) {
			if key == 1 {
				return 0, broken
			}
			select {
			case <-turn:
			case <-ctx.Done():
			}
			return 0, ctx.Err()
		}, func(int, int) error { return nil })
		if !errors.Is(err, broken) {
			t.Error(err)
		}
	})
}
