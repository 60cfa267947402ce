package consumer_test

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/auditstream/auditstream/consumer"
)

// What a crash repeats is what is not on record.
func TestProgressIsOnRecordLongBeforeTheCommitInterval(t *testing.T) {
	t.Run("much of one lane", func(t *testing.T) {
		r := newRig(t, 1)
		r.commit = time.Hour
		r.batching.MaxEvents, r.batching.MaxBytes = 100, 1<<20
		r.stream("a", orgA)
		r.publish(orgA, 0, 5000)
		r.start()
		r.eventually("5000 events", func() bool { return r.dest.count("a") >= 5000 })
		r.eventually("all but two hundred on record", func() bool { return r.progress("str_a").Cursor > 4800 })
	})
	t.Run("little of many lanes", func(t *testing.T) {
		const streams, each = 30, 300
		r := newRig(t, 1)
		r.commit = time.Hour
		r.batching.MaxEvents, r.batching.MaxBytes = 100, 1<<20
		r.stream("a", orgA)
		for i := range streams - 1 {
			r.stream(fmt.Sprintf("s%d", i), orgA)
		}
		r.publish(orgA, 0, each)
		r.start()
		r.eventually("all", func() bool {
			for _, s := range r.specs.Streams {
				if r.dest.count(s.ID) < each {
					return false
				}
			}
			return true
		})
		r.eventually("all but fifty a lane on record", func() bool {
			open := 0
			for _, s := range r.specs.Streams {
				open += each - int(r.progress(s.UID).Cursor)
			}
			return open < 50*streams
		})
	})
	t.Run("and after a crash no more than that is repeated", func(t *testing.T) {
		r := newRig(t, 1)
		r.commit = time.Hour
		r.stream("all", consumer.AllOrganizations)
		r.publish(orgA, 0, 3000)
		crash := r.start()
		r.eventually("3000 events", func() bool { return r.dest.count("all") >= 3000 })
		r.eventually("most of them on record", func() bool { return r.progress("str_all").Cursor > 2800 })
		// A process that may write nothing more leaves what a killed one leaves.
		var dead atomic.Bool
		dead.Store(true)
		r.broker.Fault(kfake.Fault{
			Keys: []kmsg.Key{kmsg.Produce, kmsg.OffsetCommit}, Err: kerr.TopicAuthorizationFailed,
			When: func(kmsg.Request) bool { return dead.Load() },
		})
		crash()
		dead.Store(false)
		r.publish(orgA, 3000, 10)
		r.start()
		r.eventually("what is new", func() bool { return slices.Contains(r.dest.ids("all"), eventID(3009)) })
		if repeats := r.dest.count("all") - 3010; repeats >= 200 {
			t.Errorf("%d events repeated, want less than 200", repeats)
		}
	})
}

// A Kafka that is slow to take progress must not make a crash repeat more.
func TestALaneWaitsForItsRecord(t *testing.T) {
	r := newRig(t, 1)
	r.commit = time.Hour
	r.batching.MaxEvents, r.batching.MaxBytes = 50, 1<<20
	r.stream("a", orgA)
	r.publish(orgA, 0, 50)
	r.start()
	r.eventually("the first batch", func() bool { return r.dest.count("a") >= 50 })
	answer, progress := make(chan struct{}), r.progressID()
	r.broker.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		p, ok := req.(*kmsg.ProduceRequest)
		if !ok || !writesTo(p, progress) {
			r.broker.KeepControl()
			return nil, nil, false
		}
		r.broker.SleepControl(func() { <-answer })
		return nil, nil, false
	})
	r.publish(orgA, 50, 2000)
	r.eventually("as much as may be repeated", func() bool { return r.dest.count("a") >= 200 })
	r.publish(orgA, 2050, 10) // Kafka answers others meanwhile
	if n := r.dest.count("a"); n > 250 {
		t.Errorf("%d events were delivered without a record, want 250 at most", n)
	}
	close(answer)
	r.eventually("the rest", func() bool { return r.dest.count("a") >= 2060 })
}

func (r *rig) progressID() [16]byte {
	details, err := kadm.NewClient(r.client).ListTopics(context.Background(), r.topics.Progress())
	if err != nil {
		r.t.Error(err)
	}
	return details[r.topics.Progress()].ID
}

func writesTo(p *kmsg.ProduceRequest, topic [16]byte) bool {
	return slices.ContainsFunc(p.Topics, func(t kmsg.ProduceRequestTopic) bool { return t.TopicID == topic })
}
