package consumer

import (
	"context"
	"fmt"

	"go.uber.org/zap"

	"github.com/auditstream/auditstream/internal/kafka"
)

// A topic that is deleted and made anew while a group runs has another id. The client holds
// fast to the id that it knows and fails every request (UNKNOWN_TOPIC_ID) rather than take
// the new topic for the old one, and so does the reader. Somebody has to find out and say
// what to do:
//
//   - events: every offset that a lane knows is void. The group is ended, and another one
//     begins, at 0; see place.
//   - progress: what was in it is lost, but the lanes know where they stand. Each writes its
//     record into the new topic before a commit names that topic.
//   - dead letters: new ones go to the new topic.
//   - streams: [Group.Learn], with specs of the new topic.

// reached is how far the streams topic was read, and which topic that was.
type reached struct {
	topicID string
	offset  int64
}

// Renew takes note that the topic of progress or that of the dead letters was made anew;
// progress is the present id of the former.
func (g *Group) Renew(ctx context.Context, progress string) error {
	g.learning.Lock() // a partition is opened before, and is among the owned, or after, and knows
	g.mu.Lock()
	former, forget := g.progressID, g.forget
	g.progressID = progress
	g.mu.Unlock()
	parts := g.owned()
	g.learning.Unlock()
	if forget != nil {
		// Records on their way fail with it, and are written again by whoever waits for them.
		forget(g.cfg.Topics.Progress, g.cfg.Topics.DeadLetters)
	}
	if former == progress {
		return nil
	}
	g.log.Warn("the progress topic was made anew: every lane's record is written into it", zap.String("topic_id", progress))
	for _, p := range parts {
		if err := p.saving.take(ctx); err != nil {
			return err
		}
		p.progressID, p.rewrite = progress, true
		p.saving.give()
	}
	return nil
}

// same checks that the topics that a partition's place was found in are those that the
// group knows. It is asked last: an id never comes back, so what was read before was read
// from these topics.
func (g *Group) same(ctx context.Context, progress string) error {
	for topic, want := range map[string]string{g.cfg.Topics.Events: g.cfg.IDs.Events, g.cfg.Topics.Progress: progress} {
		id, err := g.offsets.ID(ctx, topic)
		if err != nil {
			return err
		}
		if id != want {
			return fmt.Errorf("%s: %w", topic, kafka.ErrRemade)
		}
	}
	return nil
}
