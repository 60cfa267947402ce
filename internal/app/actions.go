package app

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/internal/kafka"
	"github.com/auditstream/auditstream/schema/catalogue"
	"github.com/auditstream/auditstream/schema/registry"
)

// knownActions are what the formats of streams know: the binary's catalogue, and what was
// registered in the cluster. They are swapped whole.
type knownActions struct {
	base *catalogue.Catalogue
	now  atomic.Pointer[catalogue.Catalogue]

	changed func(*catalogue.Catalogue) error // told before now is swapped, which an error prevents; nil: nobody

	reading sync.Mutex // held by read, which has to itself what follows

	registered map[string][]*catalogue.Action // by action
	next       int64                          // first offset that was not read
}

func newKnownActions() (*knownActions, error) {
	base, err := catalogue.Embedded()
	if err != nil {
		return nil, err
	}
	a := &knownActions{base: base, registered: map[string][]*catalogue.Action{}}
	a.now.Store(base)
	return a, nil
}

// Action is the action of that name and version, the latest one for version 0, or nil.
func (a *knownActions) Action(name string, version int) *catalogue.Action {
	return a.now.Load().Action(name, version)
}

const (
	// actionsPause is the wait between two looks for schemas that were registered: a look costs
	// one request, and within seconds all processes go by the same schemas.
	actionsPause = 2 * time.Second
	// actionsFirst bounds the first look.
	actionsFirst = 10 * time.Second
)

// follow takes over what is registered, until ctx ends. Delivery goes on whatever becomes of
// it: an action that is not known has a form in every format.
func (a *knownActions) follow(ctx context.Context, client *kgo.Client, topic string, log *zap.Logger) error {
	said := ""
	for ctx.Err() == nil {
		err := a.read(ctx, client, topic)
		if err != nil && ctx.Err() == nil && said != err.Error() {
			said = err.Error()
			log.Warn("registered schemas cannot be taken over, formats go by the former ones", zap.Error(err))
		}
		if err == nil {
			said = ""
		}
		again := time.NewTimer(actionsPause)
		select {
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
		}
	}
	return context.Cause(ctx)
}

// read reads the topic on to its end.
func (a *knownActions) read(ctx context.Context, client *kgo.Client, topic string) error {
	a.reading.Lock()
	defer a.reading.Unlock()
	reader := &kafka.Reader{Client: client}
	changed := false
	var bad error
	for {
		span, err := reader.Read(ctx, topic, 0, a.next, 1<<20)
		if errors.Is(err, kerr.OffsetOutOfRange) && a.next > 0 { // cut off, or made anew
			a.next, changed = 0, true
			clear(a.registered)
			continue
		}
		if err != nil {
			return errors.Join(bad, err)
		}
		for _, r := range span.Records {
			versions, err := registry.DecodeRecord(string(r.Key), r.Value)
			if err != nil {
				bad = errors.Join(bad, err)
				continue
			}
			a.registered[string(r.Key)], changed = versions, true
		}
		if span.Next == a.next {
			break
		}
		a.next = span.Next
	}
	if !changed {
		return bad
	}
	var all []*catalogue.Action
	for _, versions := range a.registered {
		all = append(all, versions...)
	}
	merged, err := registry.Merge(a.base, all)
	if err == nil && a.changed != nil {
		err = a.changed(merged)
	}
	if err == nil {
		a.now.Store(merged)
	}
	return errors.Join(bad, err)
}
