package app

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/internal/kafka"
)

// errEventsRemade ends a crew whose groups have to begin anew.
var errEventsRemade = errors.New("the events topic was made anew while delivery ran: everything in it is delivered from the beginning")

// topicsEvery is how often a process looks whether its topics are still the same. Clients
// and readers hold fast to the ids that they know, so that until then nothing is taken for
// what it is not; delivery just stands still.
const topicsEvery = 3 * time.Second

// topicWatch notices topics that are deleted, or made anew, while delivery runs. It makes
// none itself: who deletes a topic may be about to make it with other settings.
type topicWatch struct {
	c       *crew
	admin   *kadm.Client
	next    time.Time
	letters string // id of the dead-letter topic; empty: not known yet
	said    string // what is wrong, once, however often it is found
}

// look asks, if it is time to, and has the groups go on with what is new. An error ends
// the crew.
func (w *topicWatch) look(ctx context.Context) error {
	if time.Now().Before(w.next) {
		return nil
	}
	w.next = time.Now().Add(topicsEvery)
	c := w.c
	ids, err := kafka.TopicIDs(ctx, w.admin, c.topics.Events(), c.topics.Progress(), c.topics.DeadLetters(), c.topics.Streams())
	if err != nil {
		if ctx.Err() == nil && w.said != err.Error() {
			w.said = err.Error()
			c.d.Log.Warn("it cannot be told whether the topics are still the same", zap.Error(err))
		}
		return nil // until it can be told, clients hold fast to the topics that they know
	}
	w.said = ""
	if ids[c.topics.Events()] != c.ids.Events {
		c.d.Log.Error(errEventsRemade.Error(), zap.String("topic", c.topics.Events()),
			zap.String("former_id", c.ids.Events), zap.String("topic_id", ids[c.topics.Events()]))
		return errEventsRemade
	}
	progress, letters := ids[c.topics.Progress()], ids[c.topics.DeadLetters()]
	gone := w.letters != "" && letters != w.letters
	if gone {
		c.d.Log.Error("the dead-letter topic was made anew: the letters that were in it are gone, new ones go to the new topic",
			zap.String("topic", c.topics.DeadLetters()), zap.String("former_id", w.letters), zap.String("topic_id", letters))
	}
	if gone || progress != c.ids.Progress {
		for name, g := range c.groups {
			if err := g.Renew(ctx, progress); err != nil {
				w.next = time.Time{}
				c.d.Log.Warn("a topic that was made anew is not in use yet", zap.String("kind", name), zap.Error(err))
				return nil
			}
		}
	}
	w.letters, c.ids.Progress = letters, progress
	return nil
}

// restore gives a streams topic that was made anew the streams back that this process
// knows. What somebody has written there since counts more; a stream that nobody wrote
// goes on where it stands.
func (c *crew) restore(ctx context.Context, client *kgo.Client, known consumer.Specs) (consumer.Specs, error) {
	ids, err := kafka.TopicIDs(ctx, kadm.NewClient(client), c.topics.Streams())
	if err != nil {
		return known, err
	}
	id := ids[c.topics.Streams()]
	c.d.Log.Error("the streams topic was made anew while delivery ran: what is missing in it is written again",
		zap.String("topic", c.topics.Streams()), zap.String("former_id", c.ids.Streams), zap.String("topic_id", id))
	var specs consumer.Specs
	for written := known.Streams; len(written) > 0; {
		specs, written, err = changeStreams(ctx, c.opts, c.topics, c.d.keys, c.d.Log, func(have consumer.Specs) ([]consumer.Spec, error) {
			return missing(have.Streams, known.Streams), nil
		})
		if err != nil {
			return known, err
		}
	}
	for _, s := range specs.Streams {
		for _, k := range known.Streams {
			if k.ID == s.ID && k.UID != s.UID && k.State != consumer.SpecDeleted {
				c.d.Log.Error("a stream is another one since the streams topic was made anew: what the former had not delivered is not delivered any more",
					zap.String("stream", s.ID), zap.String("former_uid", k.UID), zap.String("uid", s.UID))
			}
		}
	}
	c.ids.Streams, specs.TopicID = id, id
	return specs, nil
}

// missing lists the streams that a streams topic made anew lacks, as they have to be
// written there.
func missing(have, known []consumer.Spec) []consumer.Spec {
	there := map[string]int64{} // serial number by id
	for _, s := range have {
		there[s.ID] = s.Serial
	}
	var out []consumer.Spec
	for _, s := range known {
		serial, ok := there[s.ID]
		if copied := ok && serial > 0 && serial < s.Serial; copied { // an old record, as signed as it was then
			ok = false
		}
		if (s.State != consumer.SpecDeleted || s.Removed != nil) && !ok {
			out = append(out, s.Restored())
		}
	}
	return out
}
