package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/auditstream/auditstream/consumer/export"
	"github.com/auditstream/auditstream/internal/organization"
	"github.com/auditstream/auditstream/producer/gateway"
	"github.com/auditstream/auditstream/schema"
)

// Bounds of exports, in one process.
const (
	exportCounters = 2  // are counted at once
	exportQueue    = 16 // are counted, or wait for it
	exportFiles    = 4  // are downloaded at once
	// exportsPending bounds the exports of one organization that are pending, in all processes:
	// nobody keeps others from theirs.
	exportsPending = 4
)

// Times of exports.
const (
	exportBeat     = 2 * time.Second  // between two records of an export that is being counted
	exportSilence  = 30 * time.Second // of its process, from which on another one takes it over
	exportLook     = 5 * time.Second  // between two looks for such exports
	exportTidy     = 10 * time.Minute // between two times that what is old is forgotten
	exportPatience = 10 * time.Minute // for a Kafka that is away while an export is counted
)

// exporter makes exports. It implements gateway.Exports. What it makes is on record, so that
// every process can give the file, and another one can go on when this one ends.
type exporter struct {
	exporterConfig

	runner string // this process
	queue  chan export.Export
	room   chan struct{} // taken by each export from when it is made until it is counted
	files  chan struct{} // taken by each download

	mu    sync.Mutex
	live  map[string]export.Export // guarded by mu; by id: those that are counted here, fresher than on record
	links map[string]issued        // guarded by mu; by export: the links that were made here
}

// exporterConfig is what an exporter needs.
type exporterConfig struct {
	exports       *export.Topic
	organizations *organization.Topic
	counting      *export.Source // patient: nobody waits for an answer
	reading       *export.Source
	tell          func(context.Context, *schema.Event) error // publishes an audit event
	log           *zap.Logger
}

// issued is a link of which this process knows the token.
type issued struct {
	token   string
	expires time.Time
}

func newExporter(c exporterConfig) *exporter {
	return &exporter{
		exporterConfig: c, runner: rand.Text(), queue: make(chan export.Export, exportQueue),
		room: make(chan struct{}, exportQueue), files: make(chan struct{}, exportFiles),
		live: map[string]export.Export{}, links: map[string]issued{},
	}
}

// Run counts exports until ctx ends.
func (x *exporter) Run(ctx context.Context) error {
	work, ctx := errgroup.WithContext(ctx)
	for range exportCounters {
		work.Go(func() error {
			for {
				select {
				case e := <-x.queue:
					x.count(ctx, e)
				case <-ctx.Done():
					return context.Cause(ctx)
				}
			}
		})
	}
	work.Go(func() error { return x.look(ctx) })
	return work.Wait()
}

// look takes over the exports of processes that are silent, and forgets what is old.
func (x *exporter) look(ctx context.Context) error {
	tick := time.NewTicker(exportLook)
	defer tick.Stop()
	tidied := time.Now()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if err := x.adopt(ctx, time.Now()); err != nil && ctx.Err() == nil {
			x.log.Debug("exports cannot be looked at", zap.Error(err)) // Kafka's being away is told by others
		}
		if time.Since(tidied) > exportTidy {
			tidied = time.Now()
			if err := x.exports.Tidy(ctx); err != nil && ctx.Err() == nil {
				x.log.Warn("old exports are not forgotten yet", zap.Error(err))
			}
		}
	}
}

// adopt goes on with exports that nobody counts any more. Two processes that do so at the same
// time find the same.
func (x *exporter) adopt(ctx context.Context, now time.Time) error {
	all, err := x.exports.List(ctx)
	if err != nil {
		return err
	}
	for _, e := range all {
		if e.State != export.Pending || now.Sub(e.Updated) < exportSilence || x.counts(e.ID) {
			continue
		}
		select {
		case x.room <- struct{}{}:
		default:
			return nil // others may have room
		}
		x.log.Info("an export is gone on with, whose process is silent", zap.String("export", e.ID), zap.String("organization", e.OrganizationID))
		x.enqueue(e)
	}
	return nil
}

// counts says whether an export is counted here, or waits for it.
func (x *exporter) counts(id string) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	_, ok := x.live[id]
	return ok
}

// enqueue has an export counted. The caller has taken room for it.
func (x *exporter) enqueue(e export.Export) {
	x.mu.Lock()
	x.live[e.ID] = e
	x.mu.Unlock()
	x.queue <- e // has as much room
}

// done gives the room of an export back.
func (x *exporter) done(id string) {
	x.mu.Lock()
	delete(x.live, id)
	x.mu.Unlock()
	<-x.room
}

// count counts an export and puts on record what was found. If ctx ends, another process goes on.
func (x *exporter) count(ctx context.Context, e export.Export) {
	defer x.done(e.ID)
	began := time.Now()
	e.Runner = x.runner
	last := time.Time{}
	told := func(now export.Export) error {
		now.Updated = time.Now().UTC()
		x.mu.Lock()
		x.live[e.ID] = now
		x.mu.Unlock()
		if time.Since(last) < exportBeat {
			return nil
		}
		last = time.Now()
		if err := x.exports.Put(ctx, now); err != nil && ctx.Err() == nil {
			x.log.Debug("how far an export is cannot be put on record", zap.String("export", e.ID), zap.Error(err))
		}
		return ctx.Err()
	}
	err := told(e)
	ready := e
	for range 3 { // Kafka may drop the first events while they are counted
		if err != nil {
			break
		}
		if ready, err = x.counting.Count(ctx, e, told); !errors.Is(err, export.ErrGone) {
			break
		}
		if err = x.counting.Plan(ctx, &e); err == nil {
			err = export.ErrGone
		}
	}
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		ready = e
		ready.State, ready.Runner, ready.Reason = export.Failed, "", err.Error()
		x.log.Warn("an export has failed", zap.String("export", e.ID), zap.String("organization", e.OrganizationID), zap.Error(err))
	} else {
		x.log.Info("an export is ready", zap.String("export", e.ID), zap.String("organization", e.OrganizationID),
			zap.Int64("events", ready.Rows), zap.Int64("bytes", ready.Bytes), zap.Duration("took", time.Since(began)))
	}
	ready.Updated = time.Now().UTC()
	if err := x.exports.Put(ctx, ready); err != nil && ctx.Err() == nil {
		x.log.Warn("an export is counted once more, because what was found cannot be put on record", zap.String("export", e.ID), zap.Error(err))
	}
}

// Create implements gateway.Exports.
func (x *exporter) Create(ctx context.Context, q gateway.ExportQuery) (gateway.Export, error) {
	busy := func(status int, message string) *gateway.Error {
		e := gateway.Errorf(status, gateway.CodeBusy, "%s", message)
		e.RetryAfter, e.Remedy = exportSilence, "Wait until other exports are ready."
		return e
	}
	all, err := x.exports.List(ctx)
	if err != nil {
		return gateway.Export{}, err
	}
	pending := 0
	for _, e := range all {
		if e.OrganizationID == q.OrganizationID && e.State == export.Pending {
			pending++
		}
	}
	if pending >= exportsPending {
		e := busy(http.StatusTooManyRequests, fmt.Sprintf("The organization has %d pending exports.", pending))
		e.Code = gateway.CodeRate
		return gateway.Export{}, e
	}
	organization, err := x.organizations.Find(ctx, q.OrganizationID)
	if err != nil {
		return gateway.Export{}, err
	}
	now := time.Now().UTC()
	e := export.Export{
		ID: export.NewID(), OrganizationID: q.OrganizationID, By: q.By,
		Query:  export.Query{RangeStart: q.From, RangeEnd: q.To, Actions: q.Actions, ActorNames: q.ActorNames, ActorIDs: q.ActorIDs, Targets: q.Targets},
		Format: export.Format, State: export.Pending, Runner: x.runner, Made: now, Updated: now,
	}
	if days := organization.RetentionDays; days > 0 {
		if oldest := now.AddDate(0, 0, -days); oldest.After(q.From) {
			e.Oldest = &oldest
		}
	}
	if err := x.reading.Plan(ctx, &e); err != nil {
		return gateway.Export{}, err
	}
	select {
	case x.room <- struct{}{}:
	default:
		return gateway.Export{}, busy(http.StatusServiceUnavailable, "Too many exports are pending.")
	}
	// The event comes first: nobody gets what no event tells of.
	err = x.tell(ctx, exportCreated(&e))
	if err == nil {
		err = x.exports.Put(ctx, e)
	}
	if err != nil {
		<-x.room
		return gateway.Export{}, err
	}
	x.log.Info("an export was asked for", zap.String("export", e.ID), zap.String("organization", e.OrganizationID), zap.String("key", e.By))
	x.enqueue(e)
	return exportView(e), nil
}

// Find implements gateway.Exports.
func (x *exporter) Find(ctx context.Context, id string, may func(gateway.ExportQuery) bool) (gateway.Export, error) {
	e, err := x.find(ctx, id)
	if err != nil {
		return gateway.Export{}, err
	}
	out := exportView(e)
	if !may(out.Query) {
		return gateway.Export{}, gateway.ErrNoExport
	}
	if e.State != export.Ready {
		return out, nil
	}
	switch err := x.check(ctx, &e); {
	case errors.Is(err, gateway.ErrExpired):
		out.State, out.Reason = gateway.ExportExpired, err.Error()
		return out, nil
	case err != nil:
		return gateway.Export{}, err
	}
	link, err := x.link(ctx, id)
	if err != nil {
		return gateway.Export{}, err
	}
	out.Token, out.Expires = link.token, link.expires
	return out, nil
}

// find is an export as fresh as it is known.
func (x *exporter) find(ctx context.Context, id string) (export.Export, error) {
	if !export.IsID(id) {
		return export.Export{}, gateway.ErrNoExport
	}
	e, err := x.exports.Find(ctx, id)
	if errors.Is(err, export.ErrUnknown) {
		return e, gateway.ErrNoExport
	}
	if err != nil {
		return e, err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if live, ok := x.live[id]; ok && e.State == export.Pending {
		return live, nil
	}
	return e, nil
}

// check returns gateway.ErrExpired for an export whose file nobody gets any more.
func (x *exporter) check(ctx context.Context, e *export.Export) error {
	if time.Since(e.Made) > export.Life {
		return fmt.Errorf("it is older than %d days: %w", export.Life/(24*time.Hour), gateway.ErrExpired)
	}
	err := x.reading.Check(ctx, e)
	if errors.Is(err, export.ErrGone) {
		return fmt.Errorf("retention took them: %w", gateway.ErrExpired)
	}
	return err
}

// link is a link that is good for half its life at least.
func (x *exporter) link(ctx context.Context, id string) (issued, error) {
	now := time.Now()
	x.mu.Lock()
	for other, l := range x.links {
		if now.After(l.expires) {
			delete(x.links, other)
		}
	}
	l, ok := x.links[id]
	x.mu.Unlock()
	if ok && l.expires.Sub(now) > export.LinkLife/2 {
		return l, nil
	}
	fresh, token := export.NewLink(id, now)
	if err := x.exports.PutLink(ctx, fresh); err != nil {
		return l, err
	}
	l = issued{token, fresh.Expires}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.links[id] = l
	return l, nil
}

// Open implements gateway.Exports.
func (x *exporter) Open(ctx context.Context, id, token string) (gateway.Download, error) {
	if token == "" || !export.IsID(id) {
		return gateway.Download{}, gateway.ErrNoExport
	}
	opens, err := x.exports.Opens(ctx, id, token)
	if err != nil {
		return gateway.Download{}, err
	}
	if !opens {
		return gateway.Download{}, gateway.ErrNoExport
	}
	e, err := x.find(ctx, id)
	if err != nil {
		return gateway.Download{}, err
	}
	if err := x.check(ctx, &e); err != nil {
		return gateway.Download{}, err
	}
	select {
	case x.files <- struct{}{}:
	default:
		busy := gateway.Errorf(http.StatusServiceUnavailable, gateway.CodeBusy, "Too many files are being downloaded.")
		busy.RetryAfter, busy.Remedy = exportLook, "Repeat the request later."
		return gateway.Download{}, busy
	}
	x.log.Info("an export is being downloaded", zap.String("export", id), zap.String("organization", e.OrganizationID))
	return gateway.Download{
		Name: id + ".csv", Bytes: e.Bytes, SHA256: e.SHA256, Made: e.Made,
		Write: writerOf(x.reading, e),
		Close: func() { <-x.files },
	}, nil
}

func exportView(e export.Export) gateway.Export {
	return gateway.Export{
		ID: e.ID, State: string(e.State), Reason: e.Reason, Complete: e.Beginning, Oldest: e.Oldest,
		Query: gateway.ExportQuery{
			OrganizationID: e.OrganizationID, By: e.By, From: e.RangeStart, To: e.RangeEnd,
			Actions: e.Actions, ActorNames: e.ActorNames, ActorIDs: e.ActorIDs, Targets: e.Targets,
		},
		Read: e.Offsets.Passed, Total: e.Offsets.Total, Rows: e.Rows, Bytes: e.Bytes, SHA256: e.SHA256, Unreadable: e.Unreadable,
		Made: e.Made, Updated: e.Updated,
	}
}
