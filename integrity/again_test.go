package integrity_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/auditstream/auditstream/integrity"
)

func TestACheckpointOfAJobSaysWhichEventsItsOwnWere(t *testing.T) {
	good := integrity.Checkpoint{
		Origin: "auditstream/acme/job_1/t1/3/1.2.40", Size: 12, Chain: integrity.Digest([]byte("head")), Root: integrity.Digest([]byte("root")),
		Offset: 60, Time: time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC), After: 2,
		Again: []integrity.Again{
			{From: 3, To: 5, Feed: "r7jcj5gqvmhyyzrs", First: 8, Last: 10},
			{From: 6, To: 8, Feed: "r7jcj5gqvmhyyzrs", First: 12, Last: 90, Among: true},
			{From: 9, To: 9, Reason: "rules"},
			{From: 10, To: 12, Reason: "pending"},
		},
	}
	got, err := integrity.ParseCheckpoint(good.Text())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(good, *got); diff != "" {
		t.Errorf("(-written +read):\n%s", diff)
	}
	for name, bad := range map[string]integrity.Again{
		"before the others":        {From: 5, To: 6, Reason: "rules"},
		"behind the end":           {From: 13, To: 13, Reason: "rules"},
		"another number of them":   {From: 12, To: 12, Feed: "r7jcj5gqvmhyyzrs", First: 8, Last: 10},
		"of no feed":               {From: 12, To: 12, Feed: "feed", First: 8, Last: 8},
		"with numbers from 0 on":   {From: 12, To: 12, Feed: "r7jcj5gqvmhyyzrs"},
		"for a reason in a phrase": {From: 12, To: 12, Reason: "nobody knows"},
	} {
		c := good
		c.Again = append(good.Again[:3:3], bad)
		if name == "behind the end" || name == "before the others" {
			c.Again = append(good.Again[:4:4], bad)
		}
		if _, err := integrity.ParseCheckpoint(c.Text()); err == nil {
			t.Errorf("%s: it was read", name)
		}
	}
}

// However many runs there are, what is listed of them stays bounded, and true.
func TestRunsOfEventsThatWereSentBeforeAreJoined(t *testing.T) {
	var list []integrity.Again
	for i := range int64(1000) {
		list = integrity.JoinAgain(list, integrity.Again{From: i + 1, To: i + 1, Feed: "r7jcj5gqvmhyyzrs", First: 3*i + 1, Last: 3*i + 1})
	}
	first := list[0]
	if len(list) > 64 || !first.Among || first.From != 1 || first.First != 1 || first.Last != 3*(first.To-1)+1 || list[len(list)-1].To != 1000 {
		t.Errorf("%d runs, of which the first is %+v", len(list), first)
	}
	list = nil
	for i := range int64(1000) {
		list = integrity.JoinAgain(list, integrity.Again{From: i + 1, To: i + 1, Feed: "r7jcj5gqvmhyyzrs", First: 7 + i, Last: 7 + i})
	}
	if diff := cmp.Diff([]integrity.Again{{From: 1, To: 1000, Feed: "r7jcj5gqvmhyyzrs", First: 7, Last: 1006}}, list); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
