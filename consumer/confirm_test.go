//nolint:thelper // what confirmed is handed is a test, not a helper: a failure names its own line
package consumer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/auditstream/auditstream/sinks"
)

// confirmer takes every batch in and confirms those that are named.
type confirmer struct {
	lineSink

	mu        sync.Mutex
	batches   []string                        // offsets of each batch, in the order of arrival; guarded by mu
	standings map[sinks.Ticket]sinks.Standing // guarded by mu
	asked     []string                        // tickets of each question; guarded by mu
	err       error                           // of the next questions; guarded by mu
}

func newConfirmer() *confirmer { return &confirmer{standings: map[sinks.Ticket]sinks.Standing{}} }

func (s *confirmer) Deliver(_ context.Context, b *sinks.Batch) (sinks.Receipt, error) {
	var offsets []string
	for _, e := range b.Events {
		offsets = append(offsets, fmt.Sprint(e.Offset))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.batches = append(s.batches, strings.Join(offsets, " "))
	return sinks.Receipt{Settled: len(b.Events), Pending: sinks.Ticket(fmt.Sprint(len(s.batches) - 1))}, nil
}

func (s *confirmer) Confirm(_ context.Context, _ sinks.Lane, tickets []sinks.Ticket) ([]sinks.Standing, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, fmt.Sprint(tickets))
	if s.err != nil {
		return nil, s.err
	}
	out := make([]sinks.Standing, len(tickets))
	for i, t := range tickets {
		out[i] = s.standings[t]
	}
	return out, nil
}

// confirms says that attempts are durable, by their number.
func (s *confirmer) confirms(attempts ...int) { s.says(sinks.Durable, attempts...) }

func (s *confirmer) says(standing sinks.Standing, attempts ...int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range attempts {
		s.standings[sinks.Ticket(fmt.Sprint(n))] = standing
	}
}

// fails has the next questions fail; nil ends that.
func (s *confirmer) fails(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

// sent are the batches that have arrived.
func (s *confirmer) sent() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.batches)
}

func (s *confirmer) questions() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

const (
	every  = time.Second
	within = 5 * time.Minute
)

// confirmed runs test with a live lane of batches of two events, of which three may wait.
func confirmed(t *testing.T, test func(t *testing.T, s *confirmer, l *lane)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := newConfirmer()
		p := newTestPartition(t, s, sinks.Batching{
			MaxBytes: 1 << 20, MaxEvents: 2, Confirmation: sinks.Confirmation{Batches: 3, Every: every, Within: within},
		})
		l := p.addLane(p.streams[0], 0, &progress{UID: "str_a", Epoch: 1, Revision: 1})
		l.live = true
		defer func() {
			if !p.stopping.Load() {
				p.stop(0)
			}
			p.release()
			if used := p.g.cfg.Budget.Used(); used != 0 {
				t.Errorf("%d bytes of the budget are in use with nothing queued", used)
			}
		}()
		test(t, s, l)
	})
}

func elapse(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func (l *lane) at() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cursor()
}

func (l *lane) state() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.health.state
}

// feeds offers two events at a time, so that batches are what the test says.
func feeds(p *partition, offsets ...int64) {
	for pair := range slices.Chunk(offsets, 2) {
		p.feed(records(1, pair...))
		synctest.Wait()
	}
}

func TestBatchesWaitSideBySideAndTheCursorFollowsTheOldest(t *testing.T) {
	confirmed(t, func(t *testing.T, s *confirmer, l *lane) {
		feeds(l.p, 0, 1, 2, 3, 4, 5)
		if len(s.sent()) != 3 {
			t.Fatalf("%d batches were sent before the first is confirmed, want 3: %v", len(s.sent()), s.sent())
		}
		if at := l.at(); at != 0 {
			t.Errorf("cursor %d before anything is confirmed, want 0", at)
		}
		s.confirms(1, 2)
		elapse(every)
		if at := l.at(); at != 0 {
			t.Errorf("cursor %d with the oldest batch not confirmed, want 0", at)
		}
		s.confirms(0)
		elapse(2 * every)
		if at := l.at(); at < 4 {
			t.Errorf("cursor %d with everything sent confirmed", at)
		}
	})
}

func TestNoMoreBatchesWaitThanMay(t *testing.T) {
	confirmed(t, func(t *testing.T, s *confirmer, l *lane) {
		feeds(l.p, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
		if len(s.sent()) != 3 {
			t.Errorf("%d batches were sent, 3 may wait: %v", len(s.sent()), s.sent())
		}
		s.confirms(0)
		elapse(every)
		if len(s.sent()) != 4 {
			t.Errorf("%d batches were sent after one was confirmed: %v", len(s.sent()), s.sent())
		}
	})
}

func TestQuestionsComeMoreAndMoreRarelyAndNoneAboutWhatIsConfirmed(t *testing.T) {
	confirmed(t, func(t *testing.T, s *confirmer, l *lane) {
		feeds(l.p, 0, 1)
		sent := len(s.sent())
		elapse(time.Minute)
		if n := len(s.questions()); n < 4 || n > 8 {
			t.Errorf("%d questions in a minute, want 1, 2, 4, 8, 16 s apart: %v", n, s.questions())
		}
		for i := range sent {
			s.confirms(i)
		}
		elapse(maxInquiry * every)
		n := len(s.questions())
		elapse(time.Hour)
		if len(s.questions()) != n {
			t.Errorf("questions about what is confirmed: %v", s.questions()[n:])
		}
	})
}

func TestWhenConfirmationsCeaseOneBatchIsRepeatedAndNothingNewIsSent(t *testing.T) {
	confirmed(t, func(t *testing.T, s *confirmer, l *lane) {
		feeds(l.p, 0, 1, 2, 3, 4, 5, 6, 7)
		first := s.sent()
		elapse(4*within + within/2)
		want := slices.Concat(first, []string{first[0], first[0], first[0], first[0]})
		if diff := cmp.Diff(want, s.sent()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if l.state() != StateError || l.at() != 0 {
			t.Errorf("state %s, cursor %d; want error and 0", l.state(), l.at())
		}
		s.confirms(len(s.sent()) - 1) // the newest repeat of the oldest batch
		elapse(maxInquiry * every)
		if l.state() != StateActive || l.at() == 0 {
			t.Errorf("state %s, cursor %d after a confirmation", l.state(), l.at())
		}
		repeated := s.sent()[len(want):]
		if diff := cmp.Diff(first[1:], repeated[:min(len(repeated), 2)]); diff != "" {
			t.Errorf("then the others are sent again, in order (-want +got):\n%s", diff)
		}
	})
}

func TestABatchThatAloneIsNotConfirmedIsRepeatedWhileOthersGoOn(t *testing.T) {
	confirmed(t, func(t *testing.T, s *confirmer, l *lane) {
		feeds(l.p, 0, 1, 2, 3)
		oldest := s.sent()[0]
		offset := int64(4)
		for range 100 {
			for i := 1; i < len(s.sent()); i++ {
				if s.sent()[i] != oldest {
					s.confirms(i)
				}
			}
			feeds(l.p, offset, offset+1)
			offset += 2
			elapse(4 * every)
		}
		repeats := 0
		for _, b := range s.sent()[1:] {
			if b == oldest {
				repeats++
			}
		}
		if repeats != 1 || len(s.sent()) < 50 || l.state() != StateActive {
			t.Errorf("the oldest batch was repeated %d times in %v, %d batches sent, state %s", repeats, 400*every, len(s.sent()), l.state())
		}
	})
}

func TestALostTicketIsSentAgainAtOnce(t *testing.T) {
	confirmed(t, func(t *testing.T, s *confirmer, l *lane) {
		feeds(l.p, 0, 1)
		first := s.sent()
		for i := range first {
			s.says(sinks.Lost, i)
		}
		elapse(every)
		if diff := cmp.Diff(slices.Concat(first, first), s.sent()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if at := l.at(); at != 0 {
			t.Errorf("cursor %d, want 0", at)
		}
	})
}

func TestALateConfirmationOfAnEarlierAttemptCounts(t *testing.T) {
	confirmed(t, func(t *testing.T, s *confirmer, l *lane) {
		feeds(l.p, 0)
		elapse(within + every)
		if diff := cmp.Diff([]string{"0", "0"}, s.sent()); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
		s.confirms(0)
		elapse(maxInquiry * every)
		if at := l.at(); at != 1 {
			t.Errorf("cursor %d although the first attempt is confirmed, want 1", at)
		}
	})
}

func TestQuestionsThatFailSendNothingAgain(t *testing.T) {
	confirmed(t, func(t *testing.T, s *confirmer, l *lane) {
		l.p.g.cfg.Retry = Retry{Min: time.Second, Max: 5 * time.Minute, Probe: time.Minute}
		s.fails(errors.New("connection refused"))
		feeds(l.p, 0)
		elapse(within / 2)
		if len(s.sent()) != 1 || l.state() != StateError {
			t.Errorf("sent %v, state %s; want one batch, and error", s.sent(), l.state())
		}
		s.fails(nil)
		s.confirms(0)
		elapse(time.Minute)
		if l.at() != 1 || l.state() != StateActive || len(s.sent()) != 1 {
			t.Errorf("cursor %d, state %s, sent %v; want 1, active, one batch", l.at(), l.state(), s.sent())
		}
	})
}

func TestAStopWaitsAShortWhileForConfirmations(t *testing.T) {
	confirmed(t, func(t *testing.T, s *confirmer, l *lane) {
		feeds(l.p, 0)
		s.confirms(0)
		l.p.stop(time.Minute)
		if at := l.at(); at != 1 {
			t.Errorf("cursor %d after a stop with the confirmation at hand, want 1", at)
		}
	})
}

func TestAStopGivesUpWhatIsNotConfirmed(t *testing.T) {
	confirmed(t, func(t *testing.T, _ *confirmer, l *lane) {
		feeds(l.p, 0)
		began := time.Now()
		l.p.stop(time.Hour)
		if took := time.Since(began); took > lastInquiry+time.Second {
			t.Errorf("the stop took %v", took)
		}
		if at := l.at(); at != 0 {
			t.Errorf("cursor %d, want 0: the next owner sends it again", at)
		}
	})
}

// deaf gives tickets out that nobody can ask about.
type deaf struct{ lineSink }

func (deaf) Deliver(_ context.Context, b *sinks.Batch) (sinks.Receipt, error) {
	return sinks.Receipt{Settled: len(b.Events), Pending: "1"}, nil
}

func TestATicketThatNobodyCanAskAboutIsNoDelivery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newTestPartition(t, deaf{}, sinks.Batching{MaxBytes: 1 << 20})
		p.g.cfg.Retry = Retry{Min: time.Second, Max: time.Second, Probe: time.Second}
		l := p.addLane(p.streams[0], 0, &progress{UID: "str_a", Epoch: 1, Revision: 1})
		l.live = true
		p.feed(records(1, 0))
		synctest.Wait()
		if l.at() != 0 || l.state() != StateError {
			t.Errorf("cursor %d, state %s; want 0 and error", l.at(), l.state())
		}
		p.stop(0)
	})
}
