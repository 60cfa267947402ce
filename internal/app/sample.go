package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/internal/ndjson"
	"github.com/auditstream/auditstream/internal/sample"
	"github.com/auditstream/auditstream/producer"
	"github.com/auditstream/auditstream/producer/workos"
	"github.com/auditstream/auditstream/schema"
)

// sampleFeed is the sample as events. Those without an id get one that is the same at
// every start, so that it can be told what has arrived.
func sampleFeed() ([]*schema.Event, error) {
	lines := ndjson.NewReader(strings.NewReader(sample.Feed), ndjson.MaxLine)
	var events []*schema.Event
	for {
		line, err := lines.Next()
		if errors.Is(err, io.EOF) {
			return events, nil
		}
		if err != nil {
			return nil, err
		}
		var e *schema.Event
		if workos.IsEvent(line) {
			e, err = workos.Convert(line, sample.Organization)
		} else {
			e, err = schema.Decode(line)
		}
		if err != nil {
			return nil, fmt.Errorf("sample feed, line %d: %w", lines.Line(), err)
		}
		if e.OrganizationID == "" {
			e.OrganizationID = sample.Organization
		}
		if e.ID == "" {
			e.ID = schema.DeriveID(e.OrganizationID, "sample feed", []byte(strconv.Itoa(lines.Line())))
		}
		events = append(events, e)
	}
}

// publishSample publishes the feed, unless an earlier start has.
func (d Dev) publishSample(ctx context.Context, cfg *config.Config, opts []kgo.Opt, feed []*schema.Event) error {
	done := filepath.Join(d.Dir, "sample-published")
	if _, err := os.Stat(done); err == nil {
		d.say("the sample feed (%d events) was published by an earlier start", len(feed))
		return nil
	}
	topics := cfg.Topics.Kafka()
	if _, err := prepare(ctx, opts, topics, d.Log, nil); err != nil {
		return err
	}
	client, err := producer.New(producer.Config{Brokers: cfg.Kafka.Brokers, Topic: topics.Events(), Logger: d.Log.Named("producer")})
	if err != nil {
		return err
	}
	err = client.Publish(ctx, feed...)
	if err = errors.Join(err, client.Close(ctx)); err != nil {
		return fmt.Errorf("publish the sample feed: %w", err)
	}
	organizations := map[string]bool{}
	for _, e := range feed {
		organizations[e.OrganizationID] = true
	}
	d.say("published the sample feed: %d events of %d organizations", len(feed), len(organizations))
	return os.WriteFile(done, nil, 0o600)
}

// await returns nil once every event of the feed is in all three destinations.
func (d Dev) await(ctx context.Context, h *devHosted, feed []*schema.Event, delivered chan error, closers *[]func() error) error {
	ctx, cancel := context.WithTimeout(ctx, d.Timeout)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	show := display{out: d.Out, redraw: d.Terminal}
	var last map[string]int
	var lacking map[string][]string
	for {
		if now := h.counts(); !maps.Equal(now, last) {
			show.counts(now)
			last = now
			var err error
			if lacking, err = h.lacking(feed); err != nil {
				return err
			}
			if len(lacking) == 0 {
				d.say("all %d events of the sample feed have arrived in all three destinations", len(feed))
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("after %s the sample feed has not arrived everywhere: %s", d.Timeout, describe(lacking, len(feed)))
		case err := <-delivered:
			*closers = (*closers)[:len(*closers)-1] // nobody is left to wait for
			return errors.Join(errors.New("delivery ended before the sample feed had arrived"), err)
		case <-tick.C:
		}
	}
}

// lacking are the ids of the feed that are not there, by stream.
func (h *devHosted) lacking(feed []*schema.Event) (map[string][]string, error) {
	arrived := map[string]map[string]bool{"dev-splunk": {}, "dev-datadog": {}, "dev-archive": {}}
	note := func(stream string, value []byte) error {
		var e struct {
			ID string `json:"id"`
		}
		if err := json.Unmarshal(value, &e); err != nil {
			return fmt.Errorf("%s holds something that is no event: %w", stream, err)
		}
		arrived[stream][e.ID] = true
		return nil
	}
	for _, e := range h.splunk.Events() {
		if e.Checkpoint() {
			continue
		}
		if err := note("dev-splunk", e.Event); err != nil {
			return nil, err
		}
	}
	for _, e := range h.datadog.Events() {
		if e.Checkpoint() {
			continue
		}
		if err := note("dev-datadog", e.Message); err != nil {
			return nil, err
		}
	}
	lines, err := h.s3.Events()
	if err != nil {
		return nil, err
	}
	for _, line := range lines {
		if err := note("dev-archive", line); err != nil {
			return nil, err
		}
	}
	out := map[string][]string{}
	for stream, ids := range arrived {
		for _, e := range feed {
			if !ids[e.ID] {
				out[stream] = append(out[stream], e.ID)
			}
		}
	}
	return out, nil
}

func describe(lacking map[string][]string, total int) string {
	if lacking == nil {
		return "nothing was looked at"
	}
	var parts []string
	for _, stream := range slices.Sorted(maps.Keys(lacking)) {
		ids := lacking[stream]
		some := ids[:min(3, len(ids))]
		text := fmt.Sprintf("%s lacks %d of %d (%s", stream, len(ids), total, strings.Join(some, ", "))
		if len(ids) > len(some) {
			text += ", …"
		}
		parts = append(parts, text+")")
	}
	return strings.Join(parts, "; ")
}
