package consumer

import (
	"context"
	"errors"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditstream/auditstream/sinks"
)

// slowKafka takes records of progress, and answers when the test says so.
type slowKafka struct {
	membership

	waiting   chan write
	committed map[int32]int64
}

func (k *slowKafka) TryProduce(_ context.Context, r *kgo.Record, promise func(*kgo.Record, error)) {
	k.waiting <- write{r, promise}
}

func (k *slowKafka) Commit(_ context.Context, offsets map[int32]int64, _ map[int32]string) error {
	k.committed = offsets
	return nil
}

// commitOfThree begins a commit of three partitions, each with one lane that has changed,
// and returns their records, which are on their way. wait returns what was committed.
func commitOfThree(t *testing.T) (parts []*partition, writes map[int32]write, wait func() ([]int32, error)) {
	t.Helper()
	first := newTestPartition(t, lineSink{}, sinks.Batching{MaxBytes: 1 << 20, Linger: time.Hour})
	k := &slowKafka{waiting: make(chan write, 1000)}
	g := first.g
	g.out, g.member = k, k
	parts = []*partition{first, g.newPartition(1, g.router, g.specs), g.newPartition(2, g.router, g.specs)}
	for _, p := range parts {
		p.feed(records(1, 40, 41))
		p.position.Store(50)
		t.Cleanup(func() { p.stop(0) })
	}
	done := make(chan error, 1)
	go func() { done <- g.commit(t.Context(), parts) }()
	synctest.Wait()
	writes = map[int32]write{}
	for len(k.waiting) > 0 {
		x := <-k.waiting
		writes[x.r.Partition] = x
	}
	return parts, writes, func() ([]int32, error) {
		synctest.Wait()
		select {
		case err := <-done:
			return slices.Sorted(maps.Keys(k.committed)), err
		default:
			if k.committed != nil {
				t.Errorf("committed %v before everything was acknowledged", k.committed)
			}
			return nil, errNotYet
		}
	}
}

var errNotYet = errors.New("the commit has not ended")

func TestACommitWritesTheProgressOfAllPartitionsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, writes, wait := commitOfThree(t)
		if diff := cmp.Diff([]int32{0, 1, 2}, slices.Sorted(maps.Keys(writes))); diff != "" {
			t.Errorf("written before anything was acknowledged (-want +got):\n%s", diff)
		}
		for _, number := range []int32{2, 0} {
			writes[number].promise(writes[number].r, nil)
			if _, err := wait(); !errors.Is(err, errNotYet) {
				t.Errorf("after the acknowledgement of partition %d: %v", number, err)
			}
		}
		writes[1].promise(writes[1].r, nil)
		got, err := wait()
		if diff := cmp.Diff([]int32{0, 1, 2}, got); diff != "" || err != nil {
			t.Errorf("committed: %v (-want +got):\n%s", err, diff)
		}
	})
}

func TestAPartitionWhoseProgressCannotBeWrittenIsLeftOutOfTheCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		parts, writes, wait := commitOfThree(t)
		refused := errors.New("refused")
		writes[0].promise(writes[0].r, nil)
		writes[1].promise(writes[1].r, refused)
		writes[2].promise(writes[2].r, nil)
		got, err := wait()
		if diff := cmp.Diff([]int32{0, 2}, got); diff != "" || !errors.Is(err, refused) {
			t.Errorf("committed: %v (-want +got):\n%s", err, diff)
		}
		if parts[0].committed.offset != 40 || parts[1].committed != (groupOffset{}) {
			t.Errorf("remembers %v and %v as committed", parts[0].committed, parts[1].committed)
		}
	})
}

func TestAPartitionThatIsLostWhileItsProgressIsWrittenIsLeftOutOfTheCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		parts, writes, wait := commitOfThree(t)
		parts[1].lost.Store(true)
		for _, x := range writes {
			x.promise(x.r, nil)
		}
		if got, err := wait(); err != nil || !slices.Equal(got, []int32{0, 2}) {
			t.Errorf("committed %v, %v", got, err)
		}
	})
}

func TestACommitThatIsGivenUpWaitsForNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		parts, writes, wait := commitOfThree(t)
		writes[0].promise(writes[0].r, nil)
		<-time.After(produceTimeout)
		got, err := wait()
		if diff := cmp.Diff([]int32{0}, got); diff != "" || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("committed: %v (-want +got):\n%s", err, diff)
		}
		for _, p := range parts[1:] {
			if s := p.snapshot(false); len(s.records) != 1 {
				t.Errorf("partition %d writes %d records the next time, want 1", p.number, len(s.records))
			}
		}
		for _, number := range []int32{1, 2} { // late answers go nowhere, and wait for nobody
			writes[number].promise(writes[number].r, nil)
		}
	})
}

func TestLanesThatComeIntoBeingTogetherShareTheWritesOfTheirFirstRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const lanes = 100
		p := newTestPartition(t, lineSink{}, sinks.Batching{MaxBytes: 1 << 20, Linger: time.Hour})
		t.Cleanup(func() { p.stop(0) })
		p.g.cfg.Retry = Retry{Min: time.Millisecond, Max: time.Millisecond}
		k := &slowKafka{waiting: make(chan write, lanes)}
		p.g.out = k
		errs := make(chan error, lanes)
		for i := range lanes {
			l := p.addLane(p.streams[0], int64(i), nil)
			go func() { errs <- l.establish(t.Context()) }()
		}
		refused := errors.New("refused")
		for round, want := range []struct {
			records int
			err     error
		}{{1, nil}, {lanes - 1, refused}} {
			synctest.Wait()
			if n := len(k.waiting); n != want.records {
				t.Fatalf("round %d: %d records are written, want %d", round, n, want.records)
			}
			for range want.records {
				x := <-k.waiting
				x.promise(x.r, want.err)
			}
		}
		for done := 0; done < lanes; { // all are written again, in few rounds
			synctest.Wait()
			for len(k.waiting) > 0 {
				x := <-k.waiting
				x.promise(x.r, nil)
			}
			select {
			case err := <-errs:
				if done++; err != nil {
					t.Error(err)
				}
			case <-time.After(time.Second):
			}
		}
	})
}
