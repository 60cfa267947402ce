//go:build integration

package integration

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/auditstream/auditstream/integrity"
)

// inFeed is where an event stands in a feed.
type inFeed struct {
	feed   string
	number int64
}

// jobLedger is what Splunk's copies of the events say of their places, by id.
type jobLedger struct {
	live     map[string]inFeed // in the stream's own feeds
	job      map[string]inFeed // in those of a job
	original map[string]inFeed // by the job: in the stream's own
}

// ledger reads it. What comes again, whoever brings it and however often, has the number that
// it had.
func (p *provable) ledger(t *testing.T) jobLedger {
	t.Helper()
	n := jobLedger{live: map[string]inFeed{}, job: map[string]inFeed{}, original: map[string]inFeed{}}
	note := func(what string, of map[string]inFeed, id string, at inFeed) {
		t.Helper()
		if was, again := of[id]; again && was != at {
			t.Errorf("%s: %s is %v, and was %v", what, id, at, was)
		}
		of[id] = at
	}
	for _, e := range p.run.destinations.splunk.Events() {
		if !carriesID(e.Event) {
			continue
		}
		var fields struct {
			Job            string `json:"auditstream_replay"`
			Feed           string `json:"auditstream_feed"`
			Number         int64  `json:"auditstream_seq,string"`
			OriginalFeed   string `json:"auditstream_original_feed"`
			OriginalNumber int64  `json:"auditstream_original_seq,string"`
		}
		if err := json.Unmarshal(e.Fields, &fields); err != nil {
			t.Fatalf("%v: %s", err, e.Fields)
		}
		id, at := idOf(t, e.Event), inFeed{fields.Feed, fields.Number}
		if fields.Job == "" {
			note("live", n.live, id, at)
			continue
		}
		note("by the job", n.job, id, at)
		note("at first, by the job", n.original, id, inFeed{fields.OriginalFeed, fields.OriginalNumber})
	}
	return n
}

// withoutHoles checks that the places are all numbers of their feeds from 1 on, each once, and
// that each organization's events have them in the order in which they were published.
func (f *feed) withoutHoles(t *testing.T, what string, of map[string]inFeed) {
	t.Helper()
	at := map[inFeed]string{}
	for id, p := range of {
		if other, taken := at[p]; taken {
			t.Errorf("%s: %v is %s and %s", what, p, id, other)
		}
		at[p] = id
	}
	last, most := map[string]int64{}, map[string]int64{}
	for _, e := range f.events {
		p, there := of[e.ID]
		if !there {
			continue
		}
		if p.number <= last[e.OrganizationID] {
			t.Errorf("%s: of %s, %s has number %d, and an event before it %d", what, e.OrganizationID, e.ID, p.number, last[e.OrganizationID])
		}
		last[e.OrganizationID] = p.number
		most[p.feed] = max(most[p.feed], p.number)
	}
	all := int64(0)
	for _, n := range most {
		all += n
	}
	if all != int64(len(of)) {
		t.Errorf("%s: %d events have the numbers up to %v", what, len(of), most)
	}
}

// judgeJob checks the feeds of a job in a report, which are complete and of as many events as it
// was to send, up to its last checkpoint, and is what is said of the events' originals.
func judgeJob(t *testing.T, report *integrity.Report, uid string, events int) (again integrity.AgainReport) {
	t.Helper()
	all := int64(0)
	for i := range report.Feeds {
		f := &report.Feeds[i]
		if !strings.Contains(f.Origin, "/"+uid+"/") {
			continue
		}
		if f.Verdict != integrity.Complete || f.First != 1 || f.Covered != f.Last || f.Tail != 0 || f.Events+f.Withheld != f.Last {
			t.Errorf("a feed of the job: %s: %+v", f.Sentence, f)
		}
		all += f.Covered
		if a := f.Again; a != nil {
			again.Events += a.Events
			again.Same += a.Same
			again.Withheld += a.Withheld
			again.Changed += a.Changed
			again.Apart += a.Apart
		}
	}
	if all != int64(events) {
		t.Errorf("checkpoints vouch for %d events of the job, want %d", all, events)
	}
	return again
}

// lastCheckpoints checks what the last checkpoints of a job's feeds say together, as they stand
// in Kafka: all of its events, to the ends of its ranges, and of each which one it was at first.
func (p *provable) lastCheckpoints(t *testing.T, uid string, events int) {
	t.Helper()
	keys, err := integrity.NewKeys(p.public)
	if err != nil {
		t.Fatal(err)
	}
	last := map[string]*integrity.Checkpoint{}
	for _, signed := range p.checkpoints(t) {
		origin, _, _ := strings.Cut(string(signed), "\n")
		if !strings.Contains(origin, "/"+uid+"/") {
			continue
		}
		c, err := keys.Open(signed)
		if err != nil {
			t.Fatalf("%v\n%s", err, signed)
		}
		if before := last[origin]; before != nil && (c.Size < before.Size || c.After > before.Size || c.Offset < before.Offset) {
			t.Errorf("a checkpoint goes back:\n%s\nand before it\n%s", c.Text(), before.Text())
		}
		for _, a := range c.Again {
			if a.Feed == "" {
				t.Errorf("a checkpoint does not say which events those of the job were: %+v", a)
			}
		}
		last[origin] = c
	}
	all := int64(0)
	for _, origin := range slices.Sorted(maps.Keys(last)) {
		all += last[origin].Size
	}
	if all != int64(events) {
		t.Errorf("the last checkpoints of the job in Kafka are about %d events, want %d", all, events)
	}
}

// ofStream writes the checkpoints of a stream's feeds, and of its jobs', as they stand in Kafka.
func (p *provable) ofStream(t *testing.T, stream string) (path string) {
	t.Helper()
	var b bytes.Buffer
	for _, signed := range p.checkpoints(t) {
		if bytes.HasPrefix(signed, []byte("auditstream/"+stream+"/")) {
			b.Write(append(signed, '\n'))
		}
	}
	return p.export(t, "checkpoints.txt", b.Bytes())
}

func (p inFeed) String() string { return fmt.Sprintf("number %d of feed %s", p.number, p.feed) }
