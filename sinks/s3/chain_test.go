package s3_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"github.com/auditstream/auditstream/integrity"
	"github.com/auditstream/auditstream/sinks"
	"github.com/auditstream/auditstream/sinks/s3"
	"github.com/auditstream/auditstream/sinks/sinktest/faults"
	"github.com/auditstream/auditstream/sinks/sinktest/s3store"
)

func unpack(t *testing.T, data []byte) string {
	t.Helper()
	var z io.Reader
	var err error
	if bytes.HasPrefix(data, []byte{0x28, 0xb5, 0x2f, 0xfd}) { // the magic number of zstd
		d, err := zstd.NewReader(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		z = d
	} else if z, err = gzip.NewReader(bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func same(t *testing.T, what string, want, got []string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

const today, yesterday = "2026-11-22", "2026-11-21"

func TestAnObjectIsWhatTheFormatSays(t *testing.T) {
	r := newRig(t, s3store.Config{})
	deliver(t, r.open(t), newBatch(1300, 1207, 1299))
	key := "audit/stream=acme-archive/day=2026-11-22/01JDAAAAAAAAAAAAAAAAAAAAAA.000002.nu1wMZ54R_eIJHqAHhjXRA.00011.00000000000000000000.ndjson.gz"
	o, data, ok := r.Get(bucket, key)
	if !ok {
		t.Fatalf("no object %s", key)
	}
	content := value(1207) + "\n" + value(1299) + "\n"
	if diff := cmp.Diff(content, unpack(t, data)); diff != "" {
		t.Errorf("content (-want +got):\n%s", diff)
	}
	sum := sha256.Sum256([]byte(content))
	want := map[string]string{
		"auditstream-format": "1", "auditstream-cluster": "5L6g3nShT-eMCtK--X86sw", "auditstream-topic-id": "nu1wMZ54R_eIJHqAHhjXRA",
		"auditstream-partition": "11", "auditstream-uid": "01JDAAAAAAAAAAAAAAAAAAAAAA", "auditstream-epoch": "2", "auditstream-revision": "5",
		"auditstream-slot": "0", "auditstream-next": "1300", "auditstream-count": "2", "auditstream-sha256": hex.EncodeToString(sum[:]),
	}
	if diff := cmp.Diff(want, o.Metadata); diff != "" {
		t.Errorf("metadata (-want +got):\n%s", diff)
	}
	if o.ContentType != "application/gzip" || o.Encoding != "" {
		t.Errorf("Content-Type %q, Content-Encoding %q", o.ContentType, o.Encoding)
	}
}

func TestAChainGrowsByOnePutABatch(t *testing.T) {
	r := newRig(t, s3store.Config{})
	s := r.open(t)
	receipt := deliver(t, s, newBatch(20, 10, 12))
	same(t, "requests of a lane without a mark", []string{"HEAD slot ", "PUT slot "}, r.requests())
	receipt = deliver(t, s, with(newBatch(31, 25, 30), func(b *sinks.Batch) { b.Mark = receipt.Mark }))
	same(t, "requests", []string{"PUT slot 20"}, r.requests())
	// A new day is a new chain, and surely empty: nobody is asked.
	deliver(t, s, with(newBatch(41, 40), func(b *sinks.Batch) { b.Mark, b.Events[0].Day = receipt.Mark, day+1 }))
	same(t, "requests on a new day", []string{"PUT slot "}, r.requests())
	same(t, "chain", []string{`0-20: {"n":10} {"n":12}`, `20-31: {"n":25} {"n":30}`}, r.chainOf(t, today))
	same(t, "chain of the next day", []string{`0-41: {"n":40}`}, r.chainOf(t, "2026-11-23"))
}

func TestAChainFindsItsPlaceByItself(t *testing.T) {
	cases := []struct {
		name string
		mark func(first, last string) string
		asks []string
	}{
		{"mark lost", func(_, _ string) string { return "" }, []string{"HEAD slot ", "HEAD slot 10", "HEAD slot 20", "HEAD slot 30", "PUT slot 30"}},
		{"mark stale", func(first, _ string) string { return first }, []string{"PUT slot 10", "HEAD slot 10", "HEAD slot 20", "HEAD slot 30", "PUT slot 30"}},
		{"mark damaged", func(_, last string) string { return strings.Replace(last, ":30:", ":35:", 1) }, []string{"HEAD slot ", "HEAD slot 10", "HEAD slot 20", "HEAD slot 30", "PUT slot 30"}},
		{"mark in order", func(_, last string) string { return last }, []string{"PUT slot 30"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, s3store.Config{})
			s := r.open(t)
			first := deliver(t, s, newBatch(10, 5)).Mark
			second := deliver(t, s, with(newBatch(20, 15), func(b *sinks.Batch) { b.Mark = first })).Mark
			third := deliver(t, s, with(newBatch(30, 25), func(b *sinks.Batch) { b.Mark = second })).Mark
			r.requests()
			deliver(t, s, with(newBatch(41, 40), func(b *sinks.Batch) { b.Mark = c.mark(first, third) }))
			same(t, "requests", c.asks, r.requests())
			same(t, "chain", []string{`0-10: {"n":5}`, `10-20: {"n":15}`, `20-30: {"n":25}`, `30-41: {"n":40}`}, r.chainOf(t, today))
		})
	}
}

func TestAnotherOwnersObjectIsNotRepeated(t *testing.T) {
	cases := []struct {
		name  string
		other []*sinks.Batch // what another owner has delivered
		mine  *sinks.Batch
		chain []string
	}{
		{
			"the same cut",
			[]*sinks.Batch{newBatch(20, 10, 12)},
			newBatch(20, 10, 12),
			[]string{`0-20: {"n":10} {"n":12}`},
		},
		{
			"a shorter cut: the rest goes on behind it",
			[]*sinks.Batch{newBatch(12, 10)},
			newBatch(20, 10, 12, 15),
			[]string{`0-12: {"n":10}`, `12-20: {"n":12} {"n":15}`},
		},
		{
			"a longer cut settles the batch whole",
			[]*sinks.Batch{newBatch(20, 10, 12, 15)},
			newBatch(15, 10, 12),
			[]string{`0-20: {"n":10} {"n":12} {"n":15}`},
		},
		{
			"two objects across the batch",
			[]*sinks.Batch{newBatch(12, 10), newBatch(30, 12, 29)},
			newBatch(40, 10, 12, 29, 35),
			[]string{`0-12: {"n":10}`, `12-30: {"n":12} {"n":29}`, `30-40: {"n":35}`},
		},
		{
			"covered, but without events of mine",
			[]*sinks.Batch{newBatch(12, 10)},
			newBatch(20, 15),
			[]string{`0-12: {"n":10}`, `12-20: {"n":15}`},
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, s3store.Config{})
			other, mine := r.open(t), r.open(t)
			for _, b := range c.other {
				deliver(t, other, b)
			}
			deliver(t, mine, c.mine)
			same(t, "chain", c.chain, r.chainOf(t, today))
		})
	}
}

func TestAMarkBeyondTheBatchSettlesTheNextOneWithoutARequest(t *testing.T) {
	r := newRig(t, s3store.Config{})
	other, mine := r.open(t), r.open(t)
	deliver(t, other, newBatch(40, 10, 20, 30))
	receipt := deliver(t, mine, newBatch(11, 10))
	r.requests()
	receipt = deliver(t, mine, with(newBatch(31, 20, 30), func(b *sinks.Batch) { b.Mark = receipt.Mark }))
	same(t, "requests", nil, r.requests())
	deliver(t, mine, with(newBatch(51, 50), func(b *sinks.Batch) { b.Mark = receipt.Mark }))
	same(t, "requests", []string{"PUT slot 40"}, r.requests())
}

func TestAppendTimeThatStepsBackGoesToItsOwnDay(t *testing.T) {
	r := newRig(t, s3store.Config{})
	s := r.open(t)
	mark := ""
	for i, d := range []int32{day - 1, day, day - 1, day} {
		o := int64(10 * (i + 1))
		mark = deliver(t, s, with(newBatch(o+1, o), func(b *sinks.Batch) { b.Mark, b.Events[0].Day = mark, d })).Mark
	}
	same(t, "yesterday", []string{`0-11: {"n":10}`, `11-31: {"n":30}`}, r.chainOf(t, yesterday))
	same(t, "today", []string{`0-21: {"n":20}`, `21-41: {"n":40}`}, r.chainOf(t, today))
	if n := len(r.requests()); n != 5 { // one HEAD for the lane without a mark, then PUTs only
		t.Errorf("%d requests: the mark has not kept both days", n)
	}
}

func TestABatchOfSeveralDaysGoesToTheChainOfEach(t *testing.T) {
	r := newRig(t, s3store.Config{})
	b := newBatch(40, 10, 20, 30)
	b.Events[1].Day = day - 1
	deliver(t, r.open(t), b)
	same(t, "yesterday", []string{`0-30: {"n":20}`}, r.chainOf(t, yesterday))
	same(t, "today", []string{`0-20: {"n":10}`, `20-40: {"n":30}`}, r.chainOf(t, today))
}

func TestRevisions(t *testing.T) {
	cases := []struct {
		name        string
		there, mine int64 // revisions
		begin       int64
	}{
		{"an older object moves the beginning of mine", 4, 5, 21},
		{"one of the same revision does not", 5, 5, 0},
		{"nor does a newer one, whose events are settled as well", 6, 5, 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, s3store.Config{})
			s := r.open(t)
			deliver(t, s, with(newBatch(21, 10, 20), func(b *sinks.Batch) { b.Lane.Revision = c.there }))
			b := with(newBatch(31, 10, 15, 30), func(b *sinks.Batch) { b.Lane.Revision = c.mine })
			receipt := deliver(t, s, b)
			if receipt.Begin != c.begin {
				t.Errorf("Begin is %d, want %d", receipt.Begin, c.begin)
			}
			same(t, "chain", []string{`0-21: {"n":10} {"n":20}`, `21-31: {"n":30}`}, r.chainOf(t, today))
		})
	}
	t.Run("a mark remembers the revision", func(t *testing.T) {
		r := newRig(t, s3store.Config{})
		s := r.open(t)
		mark := deliver(t, s, newBatch(21, 10, 20)).Mark
		receipt := deliver(t, s, with(newBatch(16, 15), func(b *sinks.Batch) { b.Lane.Revision, b.Mark = 6, mark }))
		if receipt.Begin != 21 {
			t.Errorf("Begin is %d, want 21: the event at 15 was settled by the older revision's object", receipt.Begin)
		}
	})
}

// What an object has that was made in another chain, or before there were chains, is in no
// object of the batch's chain. The pipeline has to know, also when only the mark tells.
func TestEventsOfAnotherChainAreTold(t *testing.T) {
	const mine, theirs = "auditstream/s/u/t/0/1.1.20", "auditstream/s/u/t/0/1.1.0"
	in := func(origin string) func(*sinks.Batch) {
		return func(b *sinks.Batch) {
			head := integrity.Begin(origin)
			b.Chain = &sinks.Chain{Origin: origin, Before: head}
			for _, e := range b.Events {
				b.Chain.Links = append(b.Chain.Links, head.Link(integrity.Digest([]byte{byte(e.Offset)})))
				head = b.Chain.After()
			}
		}
	}
	for name, c := range map[string]struct {
		there func(*sinks.Batch)
		want  int64
	}{
		"another chain":    {in(theirs), 21},
		"no chain":         {func(*sinks.Batch) {}, 21},
		"the chain itself": {in(mine), 0},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, s3store.Config{})
			s := r.open(t)
			mark := deliver(t, s, with(newBatch(21, 10, 20), c.there)).Mark
			if got := deliver(t, s, with(newBatch(31, 20, 30), in(mine))).Elsewhere; got != c.want {
				t.Errorf("by the object: %d, want %d", got, c.want)
			}
			b := with(newBatch(21, 20), in(mine))
			b.Mark = mark
			if got := deliver(t, s, b).Elsewhere; got != c.want {
				t.Errorf("by the mark: %d, want %d", got, c.want)
			}
		})
	}
}

func TestALostAnswerIsLookedInto(t *testing.T) {
	for name, answer := range map[string]*faults.Answer{
		"connection cut":   {Store: true, Cut: faults.CutBeforeAnswer},
		"internal error":   {Store: true, Status: 500},
		"bad gateway":      {Store: true, Status: 502},
		"answer not of S3": {Store: true, Status: 200},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, s3store.Config{})
			s := r.open(t)
			r.onPut(answer)
			deliver(t, s, newBatch(20, 10, 12))
			same(t, "requests", []string{"HEAD slot ", "PUT slot ", "HEAD slot "}, r.requests())
			same(t, "chain", []string{`0-20: {"n":10} {"n":12}`}, r.chainOf(t, today))
		})
	}
}

func TestAnAnswerBeforeTheBodyWasSentIsUnderstood(t *testing.T) {
	for name, change := range map[string]func(*sinks.Batch){
		"small body": func(*sinks.Batch) {},
		"large body": func(b *sinks.Batch) { // more than the buffers of a connection hold
			for n := range 1 << 17 {
				h := sha256.Sum256([]byte{byte(n), byte(n >> 8), byte(n >> 16)})
				b.Body = append(b.Body, hex.EncodeToString(h[:])...)
			}
			b.Body = append(b.Body, '\n')
			b.Events[len(b.Events)-1].End = len(b.Body)
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, s3store.Config{})
			s := r.open(t, func(set *s3.Settings) { set.GzipLevel = 1 })
			mark := deliver(t, s, newBatch(11, 10)).Mark
			other := deliver(t, s, with(newBatch(21, 20), func(b *sinks.Batch) { b.Mark = mark }))
			r.setEarly(true)
			mine := with(newBatch(31, 20, 30), func(b *sinks.Batch) { b.Mark = mark; change(b) })
			receipt, err := s.Deliver(t.Context(), mine) // past the other's object, it is answered early again
			if sinks.ClassOf(err) != sinks.Unavailable || receipt.Settled != 1 || receipt.Mark != other.Mark {
				t.Fatalf("%v, settled %d, mark %q, want 1 and %q", err, receipt.Settled, receipt.Mark, other.Mark)
			}
			r.setEarly(false)
			rest := mine.Slice(1, 2)
			rest.Mark = receipt.Mark
			deliver(t, s, rest)
			if n := len(r.chainOf(t, today)); n != 3 {
				t.Errorf("%d objects, want 3", n)
			}
		})
	}
}

func TestAConflictIsNoEnd(t *testing.T) {
	r := newRig(t, s3store.Config{})
	s := r.open(t)
	r.onPut(&faults.Answer{Status: 409, Body: []byte("<Error><Code>ConditionalRequestConflict</Code></Error>")})
	receipt, err := s.Deliver(t.Context(), newBatch(20, 10))
	if sinks.ClassOf(err) != sinks.Unavailable || receipt.Settled != 0 {
		t.Errorf("%v, settled %d", err, receipt.Settled)
	}
	r.faults.Program(nil)
	deliver(t, s, newBatch(20, 10))
	same(t, "chain", []string{`0-20: {"n":10}`}, r.chainOf(t, today))
}

func TestWhatIsSettledCountsAlthoughTheRestFails(t *testing.T) {
	r := newRig(t, s3store.Config{})
	s := r.open(t)
	deliver(t, s, newBatch(15, 10))
	r.onPut(&faults.Answer{Status: 503})
	b := newBatch(30, 10, 20)
	receipt, err := s.Deliver(t.Context(), b)
	if sinks.ClassOf(err) != sinks.Unavailable || receipt.Settled != 1 {
		t.Fatalf("%v, settled %d, want 1", err, receipt.Settled)
	}
	r.faults.Program(nil)
	r.requests()
	rest := b.Slice(1, 2)
	rest.Mark = receipt.Mark
	deliver(t, s, rest)
	same(t, "requests", []string{"PUT slot 15"}, r.requests())
}

func TestAWalkThatIsCutShortGoesOnWhereItWas(t *testing.T) {
	r := newRig(t, s3store.Config{})
	s := r.open(t)
	for o := int64(10); o < 60; o += 10 {
		deliver(t, s, newBatch(o+10, o+1))
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r.faults.Program(func(req *http.Request) *faults.Answer {
		if strings.Contains(req.URL.Path, "000030.ndjson") {
			cancel()
			return &faults.Answer{Hang: true}
		}
		return nil
	})
	receipt, err := s.Deliver(ctx, newBatch(70, 61))
	if sinks.ClassOf(err) != sinks.Unavailable || receipt.Mark == "" {
		t.Fatalf("%v, mark %q", err, receipt.Mark)
	}
	r.faults.Program(nil)
	r.requests()
	deliver(t, s, with(newBatch(70, 61), func(b *sinks.Batch) { b.Mark = receipt.Mark }))
	if first := r.requests()[0]; first != "PUT slot 30" {
		t.Errorf("goes on with %q", first)
	}
}

func TestAnObjectThatMakesNoSenseHoldsTheLane(t *testing.T) {
	for name, change := range map[string]func(http.Header){
		"somebody else's": func(h http.Header) {
			for name := range h {
				if strings.HasPrefix(name, "X-Amz-Meta-") {
					h.Del(name)
				}
			}
		},
		"of a newer format":   func(h http.Header) { h.Set("X-Amz-Meta-Auditstream-Format", "2") },
		"of another topic":    func(h http.Header) { h.Set("X-Amz-Meta-Auditstream-Topic-Id", "x") },
		"that leads nowhere":  func(h http.Header) { h.Set("X-Amz-Meta-Auditstream-Next", "0") },
		"that does not parse": func(h http.Header) { h.Set("X-Amz-Meta-Auditstream-Next", "ten") },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, s3store.Config{})
			s := r.open(t)
			deliver(t, s, newBatch(20, 10))
			o := r.Objects(bucket, "audit/stream")[0]
			r.faults.Program(func(req *http.Request) *faults.Answer {
				if req.Method != http.MethodHead {
					return nil
				}
				h := http.Header{}
				for k, v := range o.Metadata {
					h.Set("X-Amz-Meta-"+k, v)
				}
				change(h)
				return &faults.Answer{Status: 200, Header: h}
			})
			receipt, err := s.Deliver(t.Context(), newBatch(30, 25))
			if sinks.ClassOf(err) != sinks.Misconfigured || receipt.Settled != 0 {
				t.Errorf("%v, settled %d", err, receipt.Settled)
			}
			if err != nil && !strings.Contains(err.Error(), o.Key) {
				t.Errorf("the error does not name the object: %v", err)
			}
			same(t, "chain", []string{`0-20: {"n":10}`}, r.chainOf(t, today))
		})
	}
}

func TestWithoutListPermissionAMissingObjectIs403(t *testing.T) {
	r := newRig(t, s3store.Config{HideMissing: true})
	s := r.open(t)
	deliver(t, s, newBatch(20, 10))
	deliver(t, s, newBatch(30, 10, 25))
	same(t, "chain", []string{`0-20: {"n":10}`, `20-30: {"n":25}`}, r.chainOf(t, today))
}

func TestWithoutReadPermissionTheErrorSaysSo(t *testing.T) {
	r := newRig(t, s3store.Config{})
	s := r.open(t)
	deliver(t, s, newBatch(20, 10))
	r.faults.Program(func(req *http.Request) *faults.Answer {
		if req.Method == http.MethodHead {
			return &faults.Answer{Status: 403}
		}
		return nil
	})
	_, err := s.Deliver(t.Context(), newBatch(30, 25))
	if sinks.ClassOf(err) != sinks.Misconfigured || !strings.Contains(err.Error(), "s3:GetObject") {
		t.Errorf("error: %v", err)
	}
}

func TestProbe(t *testing.T) {
	t.Run("a store that ignores the condition gets no event", func(t *testing.T) {
		r := newRig(t, s3store.Config{IgnoreCondition: true})
		receipt, err := r.open(t).Deliver(t.Context(), newBatch(20, 10))
		if sinks.ClassOf(err) != sinks.Misconfigured || !strings.Contains(err.Error(), "If-None-Match") || receipt.Settled != 0 {
			t.Errorf("%v, settled %d", err, receipt.Settled)
		}
		if n := r.Len(); n != 0 {
			t.Errorf("%d events are there", n)
		}
	})
	t.Run("is made once a sink, and again when the store was found unfit", func(t *testing.T) {
		r := newRig(t, s3store.Config{})
		probes := 0
		count := func(req *http.Request) *faults.Answer {
			if strings.HasSuffix(req.URL.Path, "/audit/.auditstream-probe") {
				probes++ // one lane: one request at a time
			}
			return nil
		}
		r.faults.Program(count)
		first, second := r.open(t), r.open(t)
		deliver(t, first, newBatch(20, 10))
		deliver(t, first, newBatch(30, 25))
		deliver(t, second, newBatch(40, 35))
		if probes != 3 { // two in the fresh bucket, then one
			t.Errorf("%d probes, want 3", probes)
		}
		r.onPut(&faults.Answer{Status: 404})
		if _, err := first.Deliver(t.Context(), newBatch(50, 45)); sinks.ClassOf(err) != sinks.Misconfigured {
			t.Errorf("error: %v", err)
		}
		r.faults.Program(count)
		deliver(t, first, newBatch(50, 45))
		if probes != 4 {
			t.Errorf("%d probes, want 4", probes)
		}
	})
	t.Run("that fails is a failed attempt, and made again", func(t *testing.T) {
		r := newRig(t, s3store.Config{})
		s := r.open(t)
		r.faults.Program(func(req *http.Request) *faults.Answer {
			if strings.HasSuffix(req.URL.Path, "probe") {
				return &faults.Answer{Status: 500}
			}
			return nil
		})
		if _, err := s.Deliver(t.Context(), newBatch(20, 10)); sinks.ClassOf(err) != sinks.Unavailable {
			t.Errorf("error: %v", err)
		}
		r.faults.Program(nil)
		deliver(t, s, newBatch(20, 10))
	})
}

func TestABrokenBatchIsRefusedBeforeItBreaksTheChain(t *testing.T) {
	r := newRig(t, s3store.Config{})
	s := r.open(t)
	for name, b := range map[string]*sinks.Batch{
		"no events":               {Lane: lane(), Next: 10},
		"an event beyond its end": newBatch(10, 10),
		"offsets out of order":    newBatch(30, 20, 10),
		"the same offset twice":   newBatch(30, 20, 20),
		"frames beyond the body":  with(newBatch(30, 20), func(b *sinks.Batch) { b.Body = b.Body[:2] }),
		"a lane without a uid":    with(newBatch(30, 20), func(b *sinks.Batch) { b.Lane.UID = "" }),
	} {
		if _, err := s.Deliver(t.Context(), b); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if n := len(r.requests()); n != 0 {
		t.Errorf("%d requests were made", n)
	}
}

func TestFrameRefusesANewline(t *testing.T) {
	r := newRig(t, s3store.Config{})
	got, err := r.open(t).Frame([]byte("before"), &sinks.Event{Value: []byte("{\n}")})
	if sinks.ClassOf(err) != sinks.Rejected || string(got) != "before" {
		t.Errorf("Frame gives %q, %v", got, err)
	}
}

func TestALargeObjectArrivesWhole(t *testing.T) {
	for _, checksum := range []string{s3.ChecksumWhenSupported, s3.ChecksumWhenRequired} {
		t.Run(checksum, func(t *testing.T) {
			r := newRig(t, s3store.Config{})
			s := r.open(t, func(set *s3.Settings) { set.Checksum, set.GzipLevel = checksum, 1 })
			b := &sinks.Batch{Lane: lane(), Next: 200_000}
			for o := range int64(200_000) {
				h := sha256.Sum256([]byte{byte(o), byte(o >> 8), byte(o >> 16)}) // hardly to be compressed: beyond Expect: 100-continue
				b.Body = append(append(b.Body, hex.EncodeToString(h[:])...), '\n')
				b.Events = append(b.Events, sinks.Entry{Offset: o, End: len(b.Body), Day: day})
			}
			deliver(t, s, b)
			_, data, _ := r.Get(bucket, r.Objects(bucket, "audit/stream")[0].Key)
			if unpack(t, data) != string(b.Body) {
				t.Error("what arrived is not what was sent")
			}
		})
	}
}
