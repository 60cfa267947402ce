package proof_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/auditstream/auditstream/integrity"
	"github.com/auditstream/auditstream/sinks"
	"github.com/auditstream/auditstream/sinks/internal/proof"
)

// What a job sends says beside its own place which event it was at first.
func TestAnEventOfAJobNamesItsOriginal(t *testing.T) {
	e := &sinks.Event{Feed: "r7jcj5gqvmhyyzrs", Link: integrity.Link{Number: 3}}
	const hash = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
	for _, c := range []struct {
		original                  integrity.Original
		fields, object, extension string
	}{
		{
			integrity.Original{},
			`"auditstream_feed":"r7jcj5gqvmhyyzrs","auditstream_seq":"3","auditstream_chain":"` + hash + `"`,
			`{"feed":"r7jcj5gqvmhyyzrs","seq":3,"chain":"` + hash + `","digest":"` + hash + `"}`,
			`auditstreamFeed=r7jcj5gqvmhyyzrs auditstreamSeq=3 auditstreamChain=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\=`,
		},
		{
			integrity.Original{Feed: "kd2yyyc7zxoovlvc", Number: 41},
			`"auditstream_feed":"r7jcj5gqvmhyyzrs","auditstream_seq":"3","auditstream_chain":"` + hash + `","auditstream_original_feed":"kd2yyyc7zxoovlvc","auditstream_original_seq":"41"`,
			`{"feed":"r7jcj5gqvmhyyzrs","seq":3,"chain":"` + hash + `","digest":"` + hash + `","original_feed":"kd2yyyc7zxoovlvc","original_seq":41}`,
			`auditstreamFeed=r7jcj5gqvmhyyzrs auditstreamSeq=3 auditstreamChain=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\= auditstreamOriginalFeed=kd2yyyc7zxoovlvc auditstreamOriginalSeq=41`,
		},
	} {
		e.Original = c.original
		got := [3]string{string(proof.AppendFields(nil, e)), string(proof.AppendObject(nil, e, true)), string(proof.AppendExtension(nil, e))}
		if diff := cmp.Diff([3]string{c.fields, c.object, c.extension}, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

func TestOriginalsAreListedAsRanges(t *testing.T) {
	for want, numbers := range map[string][]int64{
		"":               nil,
		"7":              {7},
		"12-14,83,90-91": {12, 13, 14, 83, 90, 91},
	} {
		if got := proof.Originals(&sinks.Chain{Originals: numbers}); got != want {
			t.Errorf("%v: %q, want %q", numbers, got, want)
		}
	}
}
