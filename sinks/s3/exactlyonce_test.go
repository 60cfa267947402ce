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
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/auditstream/auditstream/sinks/s3"
	"github.com/auditstream/auditstream/sinks/sinktest/faults"
	"github.com/auditstream/auditstream/sinks/sinktest/s3store"
)

// TestExactlyOnce plays random histories of one lane: owners that cut the same log in
// different ways at the same time, crash, lose or confuse their marks, lose their progress
// and begin in the middle of objects, under filters that change, over a log that retention
// cuts off, whose topic is made again and whose append time steps back, into a bucket
// whose lifecycle takes whole days and where a stranger's object may stand in the way,
// over a network and a store that fail before and after they have done what they were
// asked. In the end each event has to be in one object, once.
//
// AUDITSTREAM_SEED plays the histories of an earlier run again, AUDITSTREAM_WORLDS more.
func TestExactlyOnce(t *testing.T) {
	store := newStore(t, s3store.Config{})
	playWorlds(t, 40, store, settings(t, ""))
}

// TestExactlyOnceWithARealStore is the same against a real S3 server, which the
// integration tests start.
func TestExactlyOnceWithARealStore(t *testing.T) {
	set := realStore(t)
	target, err := url.Parse(set.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
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

// fromEnvironment is a number that the environment sets, or fallback.
func fromEnvironment(t *testing.T, name string, fallback uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return fallback
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// playWorlds plays n histories, each under a prefix of its own, with faults before store.
func playWorlds(t *testing.T, n uint64, store http.Handler, set *s3.Settings) {
	t.Helper()
	seed := fromEnvironment(t, "AUDITSTREAM_SEED", uint64(time.Now().UnixNano()))
	n = fromEnvironment(t, "AUDITSTREAM_WORLDS", n)
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
		w := newWorld(rand.New(rand.NewPCG(seed, i)))
		mine := *set
		mine.Prefix = fmt.Sprintf("%d/%d/", seed, i)
		mine.Compression = []string{s3.CompressionGzip, s3.CompressionZstd}[i%2]
		b := &bucketOf{client: client, set: &mine, faults: f, gone: map[string]archived{}}
		f.Program(w.fault)
		w.play(t, b)
		f.Program(nil)
		w.finish(t, b)
		b.check(t, w)
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

// bucketOf is the bucket as its owner sees it, who lists, expires and tidies up.
type bucketOf struct {
	client *awss3.Client
	set    *s3.Settings
	faults *faults.Handler
	gone   map[string]archived // by key: what its lifecycle has taken
}

// archived is one object.
type archived struct {
	metadata map[string]string
	lines    []string
}

// quietly lets the owner of the bucket work without faults.
func (b *bucketOf) quietly(w *world, work func()) {
	b.faults.Program(nil)
	work()
	b.faults.Program(w.fault)
}

// expire takes the days that are over: Kafka has forgotten all their events.
func (b *bucketOf) expire(t *testing.T, w *world) {
	t.Helper()
	b.quietly(w, func() {
		p := w.topics[len(w.topics)-1]
		kept := map[string]bool{}
		for _, p := range w.topics {
			for _, r := range p.log {
				if r.offset >= p.start {
					kept[p.id+dayOf(r.day)] = true
				}
			}
		}
		for _, key := range b.list(t) {
			if d := b.dayIn(key); strings.Contains(key, p.id) && !kept[p.id+d] && key != w.planted {
				b.gone[key] = b.fetch(t, key)
				b.delete(t, key)
				w.tell("lifecycle takes %s", key)
			}
		}
	})
}

// plant puts a stranger's object behind the last one of some day.
func (b *bucketOf) plant(t *testing.T, w *world) {
	t.Helper()
	b.quietly(w, func() {
		keys := b.list(t)
		if len(keys) == 0 {
			return
		}
		key := keys[w.rng.IntN(len(keys))]
		next := b.fetch(t, key).metadata["auditstream-next"]
		ending := key[strings.LastIndex(key, ".ndjson"):]
		stem := strings.TrimSuffix(key, ending)
		stem = stem[:strings.LastIndexByte(stem, '.')+1]
		n := number(t, next)
		planted := fmt.Sprintf("%s%020d%s", stem, n, ending)
		_, err := b.client.PutObject(t.Context(), &awss3.PutObjectInput{
			Bucket: &b.set.Bucket, Key: &planted, Body: strings.NewReader("not of auditstream"), IfNoneMatch: aws.String("*"),
		})
		if err == nil {
			w.planted = planted
			w.tell("a stranger puts %s", planted)
		}
	})
}

// remove moves the stranger's object away.
func (b *bucketOf) remove(t *testing.T, w *world) {
	t.Helper()
	b.quietly(w, func() {
		b.delete(t, w.planted)
		w.tell("%s is moved away", w.planted)
		w.planted = ""
	})
}

func (b *bucketOf) delete(t *testing.T, key string) {
	t.Helper()
	if _, err := b.client.DeleteObject(t.Context(), &awss3.DeleteObjectInput{Bucket: &b.set.Bucket, Key: &key}); err != nil {
		t.Fatal(err)
	}
}

func dayOf(day int32) string { return time.Unix(int64(day)*86400, 0).UTC().Format(time.DateOnly) }

func (b *bucketOf) dayIn(key string) string {
	return strings.TrimPrefix(key, b.set.Prefix+"stream=acme-archive/day=")[:len(time.DateOnly)]
}

// check reads everything back as an auditor would, by listing, and adds what the lifecycle
// has taken.
func (b *bucketOf) check(t *testing.T, w *world) {
	t.Helper()
	objects := maps.Clone(b.gone)
	for _, key := range b.list(t) {
		if _, ok := objects[key]; ok {
			t.Errorf("%s was taken by the lifecycle and is there again", key)
		}
		objects[key] = b.fetch(t, key)
	}
	keys := make([]string, 0, len(objects))
	for key := range objects {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	count, ends := map[string]int{}, map[string]int64{}
	for _, key := range keys {
		o := objects[key]
		topicID := o.metadata["auditstream-topic-id"]
		chain := topicID + " " + b.dayIn(key)
		slot, next := number(t, o.metadata["auditstream-slot"]), number(t, o.metadata["auditstream-next"])
		if slot != ends[chain] {
			t.Errorf("%s: the chain has a gap: it goes from %d to slot %d", chain, ends[chain], slot)
		}
		ends[chain] = next
		if int64(len(o.lines)) != number(t, o.metadata["auditstream-count"]) {
			t.Errorf("%s has %d events, its metadata say %s", key, len(o.lines), o.metadata["auditstream-count"])
		}
		before := slot - 1
		for _, l := range o.lines {
			offset := number(t, strings.Trim(l, `{}"n:`))
			if offset <= before || offset >= next {
				t.Errorf("%s: event %d is out of order or outside of [%d, %d)", key, offset, slot, next)
			}
			before = offset
			count[fmt.Sprintf("%s %s %d", topicID, b.dayIn(key), offset)]++
		}
	}
	for i, p := range w.topics {
		for _, r := range p.log {
			name := fmt.Sprintf("%s %s %d", p.id, dayOf(r.day), r.offset)
			least, most := p.duty(r, w.present)
			if i < len(w.topics)-1 && r.offset >= p.settled { // the topic was made again before it came to this one
				least = 0
			}
			if n := count[name]; n < least || n > most {
				t.Errorf("the event at %s is there %d times, want %d to %d", name, n, least, most)
			}
			delete(count, name)
		}
	}
	for name := range count {
		t.Errorf("an event that never was: %s", name)
	}
	if t.Failed() {
		for _, p := range w.topics {
			w.tell("topic %s: %+v", p.id, *p)
		}
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

func (b *bucketOf) list(t *testing.T) []string {
	t.Helper()
	var keys []string
	pages := awss3.NewListObjectsV2Paginator(b.client, &awss3.ListObjectsV2Input{
		Bucket: &b.set.Bucket, Prefix: aws.String(b.set.Prefix + "stream="), MaxKeys: aws.Int32(7),
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

func (b *bucketOf) fetch(t *testing.T, key string) archived {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o, err := b.client.GetObject(ctx, &awss3.GetObjectInput{Bucket: &b.set.Bucket, Key: &key})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Body.Close() //nolint:errcheck // it is read to its end
	data, err := io.ReadAll(o.Body)
	if err != nil {
		t.Fatal(err)
	}
	return archived{o.Metadata, strings.Split(strings.TrimSuffix(unpack(t, data), "\n"), "\n")}
}
