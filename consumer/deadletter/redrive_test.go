package deadletter

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"
)

// read is what a redrive finds in a partition, as the offsets of letters.
func (r *rig) read(d *Redrive, partition int32) []int64 {
	r.t.Helper()
	var out []int64
	for at := int64(0); ; {
		span, err := d.Read(r.t.Context(), partition, at, 1)
		if err != nil {
			r.t.Fatal(err)
		}
		for _, rec := range span.Records {
			if rec.Offset >= at {
				out = append(out, rec.Offset)
			}
		}
		if span.Next <= at {
			return out
		}
		at = span.Next
	}
}

func TestARedriveReadsTheOpenLettersOfItsSelection(t *testing.T) {
	r := fill(t)
	for name, c := range map[string]struct {
		partition int32
		selection Selection
		want      []int64
	}{
		"of a stream, each once":           {0, Selection{UID: "str_a"}, []int64{0, 4}},
		"of another stream":                {0, Selection{UID: "str_b"}, []int64{1}},
		"refused again behind a mark":      {1, Selection{UID: "str_c"}, []int64{3}},
		"of an organization":               {0, Selection{UID: "str_a", Organization: orgB}, nil},
		"of a class":                       {0, Selection{UID: "str_a", Class: "expiring"}, nil},
		"by id":                            {0, Selection{UID: "str_a", IDs: []string{"T.0.4.str_a.rejected"}}, []int64{4}},
		"never of what belongs to nobody":  {1, Selection{UID: ""}, nil},
		"of a stream that is not the only": {0, Selection{UID: "str_d"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			r.t = t
			if diff := cmp.Diff(c.want, r.read(r.topic.Redrive(c.selection), c.partition)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestARedriveHandsOutTheRecordAsItWas(t *testing.T) {
	r := fill(t)
	d := r.topic.Redrive(Selection{UID: "str_a"})
	span, err := d.Read(t.Context(), 0, 4, 1)
	if err != nil || len(span.Records) == 0 {
		t.Fatal(err)
	}
	rec := span.Records[0]
	if string(rec.Key) != orgA || string(rec.Value) != `{"action":"user.login","id":"event_4"}` || rec.Timestamp.UnixMilli() != 1795343400123 || rec.Offset != 4 {
		t.Errorf("%+v", rec)
	}
	if diff := cmp.Diff([]kgo.RecordHeader{{Key: "version", Value: []byte("1")}}, rec.Headers); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
	if o := d.Origin(rec); o.TopicID != "T" || o.Partition != 0 || o.Offset != 4 || o.Original.Known() {
		t.Errorf("origin %+v", o)
	}
}

func TestARedriveMarksWhatItHasReadAndWhatItHasForgotten(t *testing.T) {
	r := fill(t)
	d := r.topic.Redrive(Selection{UID: "str_a", Reason: "job_1"})
	r.read(d, 0)
	clear(d.seen) // as after very many others
	if err := d.Mark(t.Context(), 0, []int64{0, 4}, "feed"); err != nil {
		t.Fatal(err)
	}
	if got := r.read(r.topic.Redrive(Selection{UID: "str_a"}), 0); got != nil {
		t.Errorf("open: %v", got)
	}
	standings, err := r.topic.Standings(t.Context(), r.at("0:0"))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range standings {
		if m := s.Marks[len(s.Marks)-1]; s.State != Redriven || m.Reason != "job_1" || m.By != "ops@desk" {
			t.Errorf("%+v", m)
		}
	}
	if err := d.Mark(t.Context(), 0, []int64{999}, ""); err != nil {
		t.Errorf("a letter that retention has taken needs no mark: %v", err)
	}
}

func TestARedriveRefusesAPartitionWhoseMarksItMayNotKnow(t *testing.T) {
	r := fill(t)
	r.put(&kgo.Record{Partition: 0, Headers: []kgo.RecordHeader{{Key: markPrefix + "version", Value: []byte("2")}}})
	if _, err := r.topic.Redrive(Selection{UID: "str_a"}).Read(t.Context(), 0, 0, 1); !errors.Is(err, errNewer) {
		t.Errorf("%v", err)
	}
	if _, err := r.topic.Redrive(Selection{UID: "str_c"}).Read(t.Context(), 7, 0, 1); err == nil || !strings.Contains(err.Error(), "no partition 7") {
		t.Errorf("%v", err)
	}
}
