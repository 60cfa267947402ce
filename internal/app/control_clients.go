package app

import (
	"context"
	"errors"
	"sync"

	"github.com/auditstream/auditstream/consumer/deadletter"
)

// controlClients are what a Control connects when it is first needed.
type controlClients struct {
	runner jobRunner

	mu         sync.Mutex
	closed     bool              // guarded by mu, like all below
	letterDesk *deadletter.Topic //
	jobDesk    *Jobs             //
}

func errClosed() error { return errors.New("the control plane is closed") }

// Close disconnects. What is under way fails.
func (c *Control) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if c.letterDesk != nil {
		c.letterDesk.Close()
	}
	if c.jobDesk != nil {
		c.jobDesk.Close()
	}
}

// letters is the topic of dead letters.
func (c *Control) letters() (*deadletter.Topic, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, errClosed()
	}
	if c.letterDesk == nil {
		topic, err := deadletter.Connect(deadletter.Config{Kafka: c.operator.opts, Topic: c.operator.topics.DeadLetters()})
		if err != nil {
			return nil, err
		}
		c.letterDesk = topic
	}
	return c.letterDesk, nil
}

// jobs are the replays and redrives. Their topic is made where it is missing.
func (c *Control) jobs(ctx context.Context) (*Jobs, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, errClosed()
	}
	if c.jobDesk == nil {
		jobs, err := c.operator.Jobs(ctx, c.config, c.version, "", c.log.Named("jobs"))
		if err != nil {
			return nil, told(err)
		}
		c.jobDesk = jobs
	}
	return c.jobDesk, nil
}
