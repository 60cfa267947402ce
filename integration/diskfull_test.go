//go:build integration

package integration

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/auditstream/auditstream/integration/servers"
	"github.com/auditstream/auditstream/internal/closedport"
	"github.com/auditstream/auditstream/producer"
)

// The broker's disk is full while events are published and delivered. Publishing fails and
// says so, what was acknowledged before and meanwhile arrives, and everything goes on when
// there is room: with Apache Kafka after the broker, which ends when it cannot write, was
// started again.
func TestAFullDiskLosesNothingThatWasAcknowledged(t *testing.T) {
	const (
		size   = 96 << 20
		events = 12_000
		part   = 2000 // published while there is room, before and after
	)
	for name, start := range map[string]func(t *testing.T) (run delivery, disk *servers.Disk, mend func(t *testing.T)){
		"Apache Kafka": func(t *testing.T) (delivery, *servers.Disk, func(*testing.T)) {
			t.Helper()
			broker := servers.NewKafka(t, servers.KafkaConfig{Brokers: 1})
			disk := servers.NewDisk(t, size)
			broker.PutData(t, 1, disk.Dir)
			broker.Start(t)
			return delivery{brokers: broker.Addrs}, disk, func(t *testing.T) { t.Helper(); broker.RestartNode(t, 1) }
		},
		"embedded": func(t *testing.T) (delivery, *servers.Disk, func(*testing.T)) {
			t.Helper()
			disk := servers.NewDisk(t, size)
			own := &embedded{dir: filepath.Join(disk.Dir, "kafka"), port: closedport.Find(t)}
			return delivery{embedded: own, brokers: []string{fmt.Sprintf("127.0.0.1:%d", own.port)}}, disk, func(*testing.T) {}
		},
	} {
		t.Run(name, func(t *testing.T) {
			run, disk, mend := start(t)
			to := startDestinations(t)
			run.binary, run.replication, run.destinations = servers.BuildBinary(t), 1, to
			p := run.start(t, "")
			servers.Await(t, time.Minute, "delivery runs", func() bool { p.Running(t); return p.ready(t) })
			f := newFeed(newRand(t), events, 50)
			f.publish(t, newProducer(t, producer.Config{Brokers: run.brokers}), part)

			disk.Fill(t)
			accepted := f.events[:part:part]
			var refused error
			impatient := newProducer(t, producer.Config{Brokers: run.brokers, DeliveryTimeout: 3 * time.Second})
			for next := part; refused == nil && next+50 <= events-part; next += 50 {
				few := f.events[next : next+50]
				refused = impatient.Publish(t.Context(), few...)
				f.published = next + 50
				failed := map[int]bool{}
				if why, ok := errors.AsType[*producer.PublishError](refused); ok {
					for _, one := range why.Failed {
						failed[one.Index] = true
					}
				} else if refused != nil {
					t.Fatal(refused)
				}
				for i, e := range few {
					if !failed[i] {
						accepted = append(accepted, e)
					}
				}
			}
			if !errors.Is(refused, producer.ErrUnavailable) {
				t.Fatalf("a full disk: %v, want ErrUnavailable", refused)
			}
			t.Logf("%d events were accepted, then: %v", len(accepted), refused)
			p.Running(t)

			disk.Clear(t)
			mend(t)
			servers.Await(t, 2*time.Minute, "publishing works again", func() bool {
				p.Running(t)
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				return newProducer(t, producer.Config{Brokers: run.brokers, DeliveryTimeout: 5 * time.Second}).Publish(ctx, f.events[events-1]) == nil
			})
			accepted = append(accepted, f.events[events-1])
			client := newProducer(t, producer.Config{Brokers: run.brokers})
			if err := client.Publish(t.Context(), f.events[events-part:events-1]...); err != nil {
				t.Fatal(err)
			}
			accepted = append(accepted, f.events[events-part:events-1]...)

			for destination, ids := range map[string]func() []string{
				inSplunk: func() []string { return to.splunkIDs(t) }, inDatadog: func() []string { return to.datadogIDs(t) },
				inS3: func() []string { to.archive.refresh(t); return to.archive.ids() },
			} {
				lacking := 0
				servers.Await(t, 3*time.Minute, "every accepted event is in "+destination, func() bool {
					p.Running(t)
					have := map[string]bool{}
					for _, id := range ids() {
						have[id] = true
					}
					lacking = 0
					for _, e := range accepted {
						if !have[e.ID] {
							lacking++
						}
					}
					return lacking == 0
				})
				all := ids()
				t.Logf("%s: %d accepted, %d arrived, %d of them more than once", destination, len(accepted), len(all), len(all)-unique(all))
			}
			p.end(t)
			to.archive.judgeChains(t)
			if ids := to.archive.ids(); len(ids) != unique(ids) {
				t.Errorf("S3 has %d events more than once, want each exactly once", len(ids)-unique(ids))
			}
		})
	}
}
