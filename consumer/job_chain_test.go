package consumer_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/auditstream/auditstream/integrity"
)

// ofJob are the checkpoints of the job's chains.
func (v *vouching) ofJob() []*integrity.Checkpoint {
	v.r.t.Helper()
	var out []*integrity.Checkpoint
	for origin, list := range v.written() {
		if strings.HasPrefix(origin, "auditstream/a/"+jobUID+"/") {
			out = append(out, list...)
		}
	}
	return out
}

func TestAJobEndsWithACheckpointOfAllThatItHasSent(t *testing.T) {
	r := newRig(t, 1)
	v := r.vouch(time.Hour)
	r.stream("a", orgA)
	r.publish(orgA, 0, 50)
	r.do(r.task(10, 30))
	got := v.ofJob()
	if len(got) != 1 || got[0].Size != 20 || got[0].After != 0 || got[0].Offset != 30 {
		t.Fatalf("checkpoints %+v", got)
	}
	if len(v.archive) != 1 {
		t.Errorf("%d checkpoints in the archive", len(v.archive))
	}
}

// No other checkpoint says what the last one does, so a destination is asked for it again.
func TestADestinationIsAskedAgainToTakeAJobsLastCheckpoint(t *testing.T) {
	r := newRig(t, 1)
	v := r.vouch(time.Hour)
	r.stream("a", orgA)
	r.publish(orgA, 0, 5)
	asked := 0
	r.dest.witnesses(func(context.Context, string) error {
		if asked++; asked < 3 {
			return errors.New("not now")
		}
		return nil
	})
	r.do(r.task(0, 5))
	if len(v.ofJob()) != 1 || asked != 3 {
		t.Errorf("%d checkpoints; the destination was asked %d times", len(v.ofJob()), asked)
	}
}

// A job whose last checkpoint is not written is not done: it is gone on with.
func TestAJobIsNotDoneBeforeItsLastCheckpointIsWritten(t *testing.T) {
	r := newRig(t, 1)
	v := r.vouch(time.Hour)
	r.stream("a", orgA)
	r.publish(orgA, 0, 5)
	v.refused = errors.New("the key is away")
	j, err := r.job(r.task(0, 5))
	if err != nil {
		t.Fatal(err)
	}
	if done, err := j.Run(t.Context()); done || err == nil || !strings.Contains(err.Error(), "last checkpoint") {
		t.Fatalf("done %t, %v", done, err)
	}
	v.refused = nil
	if got := r.do(r.task(0, 5)); got.Delivered != 5 || r.dest.count(replayed) != 5 || len(v.ofJob()) != 1 {
		t.Errorf("standing %+v, %d arrived, %d checkpoints", got, r.dest.count(replayed), len(v.ofJob()))
	}
}
