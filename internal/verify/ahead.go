package verify

import (
	"context"
	"sync"
)

// ahead loads keys, as many at the same time as width says, and hands what came of them to
// take, in the order of the keys. load is told when its key is the next to be taken: until
// then it should not keep much. It returns when everything that it has started has ended.
func ahead[K, T any](ctx context.Context, keys []K, width int, load func(ctx context.Context, key K, turn <-chan struct{}) (T, error), take func(key K, got T) error) error {
	type result struct {
		got T
		err error
	}
	type loading struct {
		turn chan struct{}
		done chan result
	}
	var all sync.WaitGroup
	defer all.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	under := make([]loading, 0, width) // way, the next one first
	started := 0
	for i := range keys {
		for ; started < len(keys) && len(under) < width; started++ {
			l, key := loading{make(chan struct{}), make(chan result, 1)}, keys[started]
			all.Go(func() {
				got, err := load(ctx, key, l.turn)
				l.done <- result{got, err}
			})
			under = append(under, l)
		}
		close(under[0].turn)
		r := <-under[0].done
		under = append(under[:0], under[1:]...)
		if r.err != nil {
			return r.err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := take(keys[i], r.got); err != nil {
			return err
		}
	}
	return nil
}
