package s3_test

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/internal/secret"
	"github.com/auditstream/auditstream/sinks"
	"github.com/auditstream/auditstream/sinks/s3"
	"github.com/auditstream/auditstream/sinks/sinktest/faults"
	"github.com/auditstream/auditstream/sinks/sinktest/s3store"
)

// TestExactlyOnce plays random histories of one lane: owners that cut the same log in
// different ways at the same time, crash, lose or confuse their marks and go back to
// older cursors, over a network and a store that fail before and after they have done
// what they were asked. In the end each event has to be in one object, once.
func TestExactlyOnce(t *testing.T) {
	store := newStore(t, s3store.Config{})
	playWorlds(t, 25, store, settings(t, ""))
}

// TestExactlyOnceWithARealStore is the same against a real S3 server, which the
// integration tests start.
func TestExactlyOnceWithARealStore(t *testing.T) {
	endpoint := os.Getenv("AUDITSTREAM_S3_ENDPOINT")
	if endpoint == "" {
		t.Skip("set AUDITSTREAM_S3_ENDPOINT, AUDITSTREAM_S3_ACCESS_KEY and AUDITSTREAM_S3_SECRET_KEY to run this against a real S3 server")
	}
	target, err := url.Parse(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	set := settings(t, "")
	set.AccessKeyID = os.Getenv("AUDITSTREAM_S3_ACCESS_KEY")
	set.SecretAccessKey = secret.Ref{Env: "AUDITSTREAM_S3_SECRET_KEY"}
	set.Bucket = fmt.Sprintf("auditstream-%d", time.Now().UnixNano())
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	playWorlds(t, 15, &httputil.ReverseProxy{
		Transport: transport,
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(target)
			p.Out.Host = p.In.Host // the signature covers it
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}, set)
}

// playWorlds plays n histories, each under a prefix of its own, with faults before store.
func playWorlds(t *testing.T, n int, store http.Handler, set *s3.Settings) {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("AUDITSTREAM_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("AUDITSTREAM_SEED=%d", seed)
	f := faults.New(store)
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	set.Endpoint = server.URL
	client := rawClient(t, set)
	if _, err := client.CreateBucket(t.Context(), &awss3.CreateBucketInput{Bucket: &set.Bucket}); err != nil && !strings.Contains(err.Error(), "BucketAlreadyOwnedByYou") {
		t.Fatal(err)
	}
	for i := range n {
		w := newWorld(rand.New(rand.NewPCG(seed, uint64(i))))
		set.Prefix = fmt.Sprintf("%d/%d/", seed, i)
		f.Program(w.fault)
		w.play(t, set)
		f.Program(nil)
		w.finish(t, set)
		w.check(t, client, set)
		if t.Failed() {
			t.Fatalf("world %d of AUDITSTREAM_SEED=%d:\n%s", i, seed, strings.Join(w.told, "\n"))
		}
	}
}

func rawClient(t *testing.T, set *s3.Settings) *awss3.Client {
	t.Helper()
	key, err := set.SecretAccessKey.Resolve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return awss3.New(awss3.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(set.Endpoint), UsePathStyle: true, HTTPClient: &http.Client{Transport: transport},
		Credentials: credentials.NewStaticCredentialsProvider(set.AccessKeyID, key, ""),
	})
}

type record struct {
	offset  int64
	day     int32
	matches bool // the stream takes it; the others are filtered out or dead-lettered
}

// state is what an owner of the lane has in memory, and what outlives it.
type state struct {
	cursor int64
	mark   string
}

type world struct {
	log []record
	end int64 // of the log

	mu      sync.Mutex
	rng     *rand.Rand // guarded by mu
	history []state    // that has ever been acknowledged; guarded by mu
	told    []string   // what happened; guarded by mu
}

func newWorld(rng *rand.Rand) *world {
	w := &world{rng: rng, history: []state{{}}}
	offset, today := int64(rng.IntN(3)), int32(day)
	for range 30 + rng.IntN(60) {
		if rng.IntN(8) == 0 {
			today++
		}
		r := record{offset: offset, day: today, matches: rng.IntN(10) < 7}
		if rng.IntN(8) == 0 {
			r.day-- // another leader's clock
		}
		w.log = append(w.log, r)
		offset++
		if rng.IntN(5) == 0 { // control records leave gaps
			offset += int64(1 + rng.IntN(3))
		}
	}
	w.end = offset
	return w
}

// fault decides about one request.
func (w *world) fault(r *http.Request) *faults.Answer {
	w.mu.Lock()
	n := w.rng.IntN(100)
	w.mu.Unlock()
	var a *faults.Answer
	switch {
	case n < 4:
		a = &faults.Answer{Cut: faults.CutBeforeBody}
	case n < 7:
		a = &faults.Answer{Status: 500}
	case n < 9:
		a = &faults.Answer{Status: 503}
	case r.Method == http.MethodHead:
	case n < 13:
		a = &faults.Answer{Status: 409, Body: []byte("<Error><Code>ConditionalRequestConflict</Code></Error>")}
	case n < 18:
		a = &faults.Answer{Store: true, Cut: faults.CutBeforeAnswer}
	case n < 23:
		a = &faults.Answer{Store: true, Status: 502}
	case n < 26:
		a = &faults.Answer{Store: true, Cut: faults.CutInAnswer}
	}
	if a != nil {
		w.tell("  fault %s %s store=%v status=%d cut=%d", r.Method, r.URL.Path[strings.LastIndexByte(r.URL.Path, '/'):], a.Store, a.Status, a.Cut)
	}
	return a
}

func (w *world) tell(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.told = append(w.told, fmt.Sprintf(format, args...))
}

// play lets up to three owners deliver at the same time, for a while.
func (w *world) play(t *testing.T, set *s3.Settings) {
	t.Helper()
	owners := make([]state, 1+w.rng.IntN(3))
	opened := make([]*s3.Sink, len(owners))
	for i := range opened {
		opened[i] = openSink(t, set)
	}
	for range 25 {
		batches := make([]*sinks.Batch, len(owners))
		for i := range owners {
			if w.rng.IntN(10) == 0 { // crashed: another process goes on from what it finds
				owners[i].cursor = w.history[w.rng.IntN(len(w.history))].cursor
				if w.rng.IntN(2) == 0 {
					owners[i].mark = ""
				} else {
					owners[i].mark = w.history[w.rng.IntN(len(w.history))].mark
				}
				w.tell("owner %d goes on at %d with mark %q", i, owners[i].cursor, owners[i].mark)
			}
			batches[i] = w.cut(owners[i])
		}
		var wg sync.WaitGroup
		for i, b := range batches {
			if b != nil {
				wg.Go(func() { _ = w.deliver(t, i, opened[i], b, &owners[i]) }) // refused: it is cut and tried anew
			}
		}
		wg.Wait()
	}
}

// finish delivers the rest over a network that works.
func (w *world) finish(t *testing.T, set *s3.Settings) {
	t.Helper()
	s := openSink(t, set)
	o := w.history[w.rng.IntN(len(w.history))]
	if w.rng.IntN(2) == 0 {
		o.mark = ""
	}
	for range 10 * len(w.log) {
		b := w.cut(o)
		if b == nil {
			return
		}
		if err := w.deliver(t, -1, s, b, &o); err != nil {
			t.Errorf("with nothing in the way: %v", err)
			return
		}
	}
	t.Error("it goes on for ever")
}

func openSink(t *testing.T, set *s3.Settings) *s3.Sink {
	t.Helper()
	s, err := s3.Open(set, sinks.Options{Log: zap.NewNop(), Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// cut makes a batch of some of the events from o's cursor on, or nil at the end.
func (w *world) cut(o state) *sinks.Batch {
	b := &sinks.Batch{Lane: lane(), Mark: o.mark, Next: w.end}
	size, several := 1+w.rng.IntN(6), w.rng.IntN(10) == 0
	for _, r := range w.log {
		if r.offset < o.cursor || !r.matches {
			continue
		}
		if n := len(b.Events); n == size || n > 0 && b.Events[0].Day != r.day && !several {
			// The lane has read at least up to here and found nothing in between.
			b.Next = b.Events[n-1].Offset + 1 + w.rng.Int64N(r.offset-b.Events[n-1].Offset)
			break
		}
		b.Body = append(b.Body, value(r.offset)+"\n"...)
		b.Events = append(b.Events, sinks.Entry{Offset: r.offset, End: len(b.Body), Day: r.day})
	}
	if len(b.Events) == 0 {
		return nil
	}
	return b
}

// deliver is one attempt, and what the pipeline does with its receipt.
func (w *world) deliver(t *testing.T, i int, s *s3.Sink, b *sinks.Batch, o *state) error {
	t.Helper()
	receipt, err := s.Deliver(t.Context(), b)
	if err != nil && sinks.ClassOf(err) != sinks.Unavailable {
		t.Errorf("owner %d: %v", i, err)
	}
	if receipt.Mark != "" {
		o.mark = receipt.Mark
	}
	if receipt.Settled == len(b.Events) {
		o.cursor = b.Next
	} else {
		o.cursor = b.Events[receipt.Settled].Offset
	}
	w.tell("owner %d delivers %v next %d with mark %q: settled %d, mark %q, %v", i, offsets(b), b.Next, b.Mark, receipt.Settled, receipt.Mark, err)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.history = append(w.history, *o)
	return err
}

func offsets(b *sinks.Batch) []int64 {
	var out []int64
	for _, e := range b.Events {
		out = append(out, e.Offset)
	}
	return out
}

// check reads everything back as an auditor would, by listing.
func (w *world) check(t *testing.T, client *awss3.Client, set *s3.Settings) {
	t.Helper()
	want := map[string][]string{} // by day, in the order of offsets
	for _, r := range w.log {
		if r.matches {
			d := time.Unix(int64(r.day)*86400, 0).UTC().Format(time.DateOnly)
			want[d] = append(want[d], value(r.offset))
		}
	}
	got, ends := map[string][]string{}, map[string]int64{}
	for _, key := range list(t, client, set) {
		d := strings.TrimPrefix(key, set.Prefix+"stream=acme-archive/day=")[:len(time.DateOnly)]
		metadata, content := fetch(t, client, set.Bucket, key)
		slot, next := number(t, metadata["auditstream-slot"]), number(t, metadata["auditstream-next"])
		if slot != ends[d] {
			t.Errorf("%s: the chain has a gap: it goes from slot %d to %d", d, ends[d], slot)
		}
		ends[d] = next
		lines := strings.Split(strings.TrimSuffix(content, "\n"), "\n")
		if int64(len(lines)) != number(t, metadata["auditstream-count"]) {
			t.Errorf("%s has %d events, its metadata say %s", key, len(lines), metadata["auditstream-count"])
		}
		for _, l := range lines {
			if o := number(t, strings.Trim(l, `{}"n:`)); o < slot || o >= next {
				t.Errorf("%s: event %d is outside of [%d, %d)", key, o, slot, next)
			}
		}
		got[d] = append(got[d], lines...)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("each event once, in order (-want +got):\n%s", diff)
	}
	if t.Failed() {
		w.tell("log %v", w.log)
	}
}

func number(t *testing.T, text string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func list(t *testing.T, client *awss3.Client, set *s3.Settings) []string {
	t.Helper()
	var keys []string
	pages := awss3.NewListObjectsV2Paginator(client, &awss3.ListObjectsV2Input{
		Bucket: &set.Bucket, Prefix: aws.String(set.Prefix + "stream="), MaxKeys: aws.Int32(7),
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range page.Contents {
			keys = append(keys, *o.Key)
		}
	}
	if !slices.IsSorted(keys) {
		t.Errorf("listed out of order: %q", keys)
	}
	return keys
}

func fetch(t *testing.T, client *awss3.Client, bucket, key string) (map[string]string, string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o, err := client.GetObject(ctx, &awss3.GetObjectInput{Bucket: &bucket, Key: &key})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Body.Close() //nolint:errcheck // it is read to its end
	data, err := io.ReadAll(o.Body)
	if err != nil {
		t.Fatal(err)
	}
	metadata := maps.Clone(o.Metadata)
	return metadata, unpack(t, data)
}
