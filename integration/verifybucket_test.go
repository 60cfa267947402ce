//go:build integration

package integration

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"golang.org/x/mod/sumdb/note"

	"github.com/auditstream/auditstream/integration/servers"
	"github.com/auditstream/auditstream/integrity"
	"github.com/auditstream/auditstream/internal/verify"
	"github.com/auditstream/auditstream/producer"
)

// kept is an object of a bucket as somebody with every right to it has it.
type kept struct {
	content  []byte
	metadata map[string]string
}

// bucketState is all of a bucket by key, and what is there now.
type bucketState struct {
	t     *testing.T // whose turn it is
	store *servers.S3
	was   map[string]kept
	now   map[string]kept
}

func stateOf(t *testing.T, store *servers.S3) *bucketState {
	t.Helper()
	b := &bucketState{t: t, store: store, was: map[string]kept{}}
	client := store.Client()
	pages := awss3.NewListObjectsV2Paginator(client, &awss3.ListObjectsV2Input{Bucket: &store.Bucket})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range page.Contents {
			got, err := client.GetObject(t.Context(), &awss3.GetObjectInput{Bucket: &store.Bucket, Key: o.Key})
			if err != nil {
				t.Fatal(err)
			}
			content, err := io.ReadAll(got.Body)
			if err != nil {
				t.Fatal(err)
			}
			b.was[*o.Key] = kept{content, got.Metadata}
		}
	}
	b.now = maps.Clone(b.was)
	return b
}

func (b *bucketState) put(key string, o kept) {
	b.t.Helper()
	_, err := b.store.Client().PutObject(b.t.Context(), &awss3.PutObjectInput{Bucket: &b.store.Bucket, Key: &key, Body: bytes.NewReader(o.content), Metadata: o.metadata})
	if err != nil {
		b.t.Fatal(err)
	}
	b.now[key] = o
}

func (b *bucketState) remove(key string) {
	b.t.Helper()
	if _, err := b.store.Client().DeleteObject(b.t.Context(), &awss3.DeleteObjectInput{Bucket: &b.store.Bucket, Key: &key}); err != nil {
		b.t.Fatal(err)
	}
	delete(b.now, key)
}

// restore undoes what an attack has done.
func (b *bucketState) restore() {
	b.t.Helper()
	for key := range maps.Clone(b.now) {
		if _, ok := b.was[key]; !ok {
			b.remove(key)
		}
	}
	for key, o := range b.was {
		if now, ok := b.now[key]; !ok || !bytes.Equal(now.content, o.content) || !maps.Equal(now.metadata, o.metadata) {
			b.put(key, o)
		}
	}
}

// exchange has two keys change their objects.
func (b *bucketState) exchange(one, other string) {
	b.t.Helper()
	was, is := b.now[one], b.now[other]
	b.put(one, is)
	b.put(other, was)
}

// rename copies an object to another key, with its metadata, and deletes it.
func (b *bucketState) rename(from, to string) {
	b.t.Helper()
	b.put(to, b.now[from])
	b.remove(from)
}

// verifyBucket runs the command on the bucket itself, as a user would.
func (p *provable) verifyBucket(t *testing.T, args ...string) (report verify.Report, code int) {
	t.Helper()
	store := p.run.destinations.archive.store
	args = append([]string{"verify", "--key", p.public, "-o", "json", "--endpoint", store.Endpoint, "--region", store.Region}, args...)
	cmd := exec.CommandContext(t.Context(), p.run.binary, append(args, "s3://"+store.Bucket+"/")...)
	cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID="+store.AccessKey, "AWS_SECRET_ACCESS_KEY="+store.SecretKey)
	return judged[verify.Report](t, cmd)
}

// hourMore puts the digest of an hour more into the bucket, empty, behind the last of each
// series: nobody wants to wait for it.
func (p *provable) hourMore(t *testing.T, b *bucketState) {
	t.Helper()
	secret, err := os.ReadFile(p.run.integrity)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(strings.TrimSpace(string(secret)))
	if err != nil {
		t.Fatal(err)
	}
	last := map[string]string{} // key of the digest of a feed
	for _, key := range slices.Sorted(maps.Keys(b.was)) {
		if strings.Contains(key, "_digests/") {
			feed, _, _ := strings.Cut(key[strings.LastIndexByte(key, '/')+1:], ".")
			last[feed] = key
		}
	}
	for feed, key := range last {
		text := b.was[key].content
		h, err := (*integrity.Keys)(nil).OpenHour(text)
		if err != nil {
			t.Fatal(err)
		}
		more := &integrity.Hour{
			Origin: h.Origin, Hour: h.Hour.Add(time.Hour), Time: h.Time, Before: h.After, After: h.After, Previous: sha256.Sum256(text),
		}
		signed, err := more.Sign(signer)
		if err != nil {
			t.Fatal(err)
		}
		name := fmt.Sprintf("_digests/stream=all-s3/day=%s/%s.%s.txt", more.Hour.Format(time.DateOnly), feed, more.Hour.Format("20060102T15Z"))
		b.put(name, kept{content: signed})
		b.was[name] = b.now[name]
	}
}

// listed is a feed of the bucket by its digest: the key of that, and the keys of its objects.
type listed struct {
	origin  string
	digest  string
	former  string // key of the digest before
	objects []string
}

// feeds are those with a digest of three objects or more.
func (b *bucketState) feeds() []listed {
	b.t.Helper()
	var out []listed
	former := ""
	for _, key := range slices.Sorted(maps.Keys(b.was)) {
		if !strings.Contains(key, "_digests/") {
			continue
		}
		h, err := (*integrity.Keys)(nil).OpenHour(b.was[key].content)
		if err != nil {
			b.t.Fatal(err)
		}
		if len(h.Objects) >= 3 {
			l := listed{origin: h.Origin, digest: key, former: former}
			for _, o := range h.Objects {
				l.objects = append(l.objects, o.Key)
			}
			out = append(out, l)
		}
		former = key
	}
	return out
}

// A bucket is verified as it is, on a real store, after its writers were killed; and what
// somebody with every right to it does to it is told.
func TestABucketIsVerifiedAndAttacked(t *testing.T) {
	const events, kills = 1200, 2
	r := newRand(t)
	p := newProvable(t)
	p.run.batch = 7
	to := p.run.destinations
	f := newFeed(r, events, 20)
	client := newProducer(t, producer.Config{Brokers: p.run.brokers})
	proc := p.run.start(t, "a")
	servers.Await(t, time.Minute, "the first process delivers", func() bool { proc.Running(t); return proc.ready(t) })
	for kill := range kills {
		f.publish(t, client, 400)
		target := to.arrived() + 1 + r.IntN(400)
		servers.Await(t, 2*time.Minute, "the process is in the midst of it", func() bool { proc.Running(t); return to.arrived() >= target })
		proc.Kill(t)
		t.Logf("kill %d after %d arrivals", kill+1, to.arrived())
		proc = p.run.start(t, "a")
	}
	to.awaitAll(t, f)
	// A change of the stream ends the chains, which have their last digest at once then.
	servers.Await(t, time.Minute, "the process is up", func() bool { proc.Running(t); return proc.ready(t) })
	proc.end(t)
	p.run.batch = 9
	proc = p.run.start(t, "a")
	f.publish(t, client, events-f.published)
	to.awaitAll(t, f)
	store := to.archive.store
	var b *bucketState
	servers.Await(t, 3*time.Minute, "the chains that ended to have their digests", func() bool {
		proc.Running(t)
		b = stateOf(t, store)
		return len(b.feeds()) >= 5
	})
	var report verify.Report
	var code int
	servers.Await(t, 2*time.Minute, "checkpoints to vouch for all that the bucket has", func() bool {
		proc.Running(t)
		report, code = p.verifyBucket(t)
		return code == 0 && covered(&report.Report) == events
	})
	t.Logf("%s", report.Sentence)
	proc.end(t)
	b = stateOf(t, store)
	p.hourMore(t, b)
	for i := range 1100 { // so that what matters is on the second page of a listing
		b.put(fmt.Sprintf("0/%04d", i), kept{content: []byte("of somebody else")})
	}
	b.was = maps.Clone(b.now)
	if report, code = p.verifyBucket(t); code != 0 || covered(&report.Report) != events || report.DigestOnly != 0 {
		t.Fatalf("exit code %d: %s\n%+v", code, report.Sentence, report.Feeds)
	}
	p.attack(t, b)
	t.Run("errors", func(t *testing.T) { p.refused(t) })
}

// lines are those of an object.
func (b *bucketState) lines(key string) [][]byte {
	b.t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(b.now[key].content))
	if err != nil {
		b.t.Fatal(err)
	}
	plain, err := io.ReadAll(z)
	if err != nil {
		b.t.Fatal(err)
	}
	return slices.Collect(bytes.Lines(plain))
}

// relined makes an object of other lines, packed in another way.
func (b *bucketState) relined(key string, do func([][]byte) [][]byte) {
	b.t.Helper()
	var packed bytes.Buffer
	z, err := gzip.NewWriterLevel(&packed, gzip.BestSpeed)
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := z.Write(bytes.Join(do(b.lines(key)), nil)); err != nil {
		b.t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		b.t.Fatal(err)
	}
	b.put(key, kept{packed.Bytes(), b.now[key].metadata})
}

// attack does to the bucket what its adversaries do, one after the other.
func (p *provable) attack(t *testing.T, b *bucketState) {
	t.Helper()
	feeds := b.feeds()
	acme, globex := feeds[0], feeds[1]
	altered := func(l [][]byte) [][]byte {
		l[0] = bytes.Replace(l[0], []byte(harmless), []byte("document.Shared"), 1)
		return l
	}
	middle, last := acme.objects[1], acme.objects[len(acme.objects)-1]
	for _, tt := range []struct {
		name string
		do   func()
		code int
		says string // in what is told
	}{
		{"nothing", func() {}, 0, "Complete and unaltered"},
		{"the first object is deleted", func() { b.remove(acme.objects[0]) }, 4, "not there is the object " + acme.objects[0]},
		{"one in the middle is deleted", func() { b.remove(middle) }, 4, "not there is the object " + middle},
		{"the last object is deleted", func() { b.remove(last) }, 4, "not there is the object " + last},
		{"a byte is altered", func() { b.relined(middle, altered) }, 5, "as many events are there as there were"},
		{"a byte of what is packed is altered", func() {
			content := bytes.Clone(b.now[middle].content)
			content[len(content)/2] ^= 0x20
			b.put(middle, kept{content, b.now[middle].metadata})
		}, -1, middle},
		{"a line is taken out", func() { b.relined(middle, func(l [][]byte) [][]byte { return l[1:] }) }, 4, "events are there, and there were"},
		{"a line is put in", func() {
			b.relined(middle, func(l [][]byte) [][]byte { return append(l, []byte("{\"id\":\"forged\"}\n")) })
		}, 5, "events are there, and there were"},
		{"an object is renamed", func() { b.rename(middle, "elsewhere/x.ndjson.gz") }, 0, "1 object lies under another name"},
		{"two objects of a feed change places", func() { b.exchange(acme.objects[0], middle) }, 0, "2 objects lie under another name"},
		{"objects of two organizations change places", func() { b.exchange(middle, globex.objects[1]) }, 5, "in place of the object of this feed lies one of another, " + globex.origin},
		{"metadata are stripped", func() {
			for _, key := range acme.objects {
				b.put(key, kept{content: b.now[key].content})
			}
		}, 0, "Complete and unaltered"},
		{"metadata say another place", func() {
			b.put(middle, kept{b.now[middle].content, b.now[acme.objects[0]].metadata})
		}, 0, "Complete and unaltered"},
		{"an hour's digest is deleted", func() { b.remove(acme.digest) }, 4, "Digests are missing, and no events"},
		{"the first digest is deleted", func() { b.remove(acme.former) }, 4, "Digests are missing, and no events"},
		{"a digest is altered", func() {
			b.put(acme.digest, kept{content: bytes.Replace(b.now[acme.digest].content, []byte(`"size":`), []byte(`"size":1`), 1)})
		}, 5, "is not as it was signed"},
		{"an older digest is in its place", func() { b.put(acme.digest, b.now[acme.former]) }, 4, "in place of the digest of "},
		{"the digest of another feed is in its place", func() { b.put(acme.digest, b.now[globex.digest]) }, 4, "in place of the digest of "},
		{"an hour is deleted, digest and objects", func() {
			b.remove(acme.digest)
			for _, key := range acme.objects {
				b.remove(key)
			}
		}, 4, "Events are missing"},
		{"an object is truncated", func() {
			b.put(middle, kept{b.now[middle].content[:len(b.now[middle].content)-20], b.now[middle].metadata})
		}, 4, "unexpected EOF"},
		{"an object is empty", func() { b.put(middle, kept{nil, b.now[middle].metadata}) }, 4, middle},
		{"an object is packed anew", func() { b.relined(middle, func(l [][]byte) [][]byte { return l }) }, 0, "Complete and unaltered"},
		{"an object is there twice", func() { b.put("elsewhere/x.ndjson.gz", b.now[middle]) }, 0, "which is no tampering"},
		{"objects of a feed are deleted, and its digests and checkpoints", func() {
			feed := integrity.FeedID(acme.origin)
			for key := range maps.Clone(b.now) {
				if strings.Contains(key, feed) || slices.Contains(acme.objects, key) {
					b.remove(key)
				}
			}
		}, 4, "Events are missing"}, // for the chain behind names it
	} {
		t.Run(tt.name, func(t *testing.T) {
			b.t = t
			defer b.restore()
			tt.do()
			report, code := p.verifyBucket(t)
			told := report.Sentence
			for _, x := range report.Findings {
				told += "\n" + x.String()
			}
			for i := range report.Feeds {
				told += "\n" + report.Feeds[i].Sentence
				for _, x := range report.Feeds[i].Findings {
					told += "\n  " + x.String()
				}
			}
			if code != tt.code && (tt.code >= 0 || code != 4 && code != 5) || !strings.Contains(told, tt.says) {
				t.Errorf("exit code %d, want %d and %q:\n%s", code, tt.code, tt.says, told)
			}
		})
	}
}

// refused holds what is told of a bucket that cannot be read.
func (p *provable) refused(t *testing.T) {
	t.Helper()
	store := p.run.destinations.archive.store
	for _, tt := range []struct {
		name, address, secret, says string
	}{
		{"no such bucket", "s3://nowhere/", store.SecretKey, "there is no such bucket"},
		{"a wrong secret", "s3://" + store.Bucket + "/", "another", "the store does not take these credentials"},
		{"nothing under the prefix", "s3://" + store.Bucket + "/nothing/", store.SecretKey, "there is nothing"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), p.run.binary, "verify", "--key", p.public, "--endpoint", store.Endpoint, "--region", store.Region, tt.address)
			cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID="+store.AccessKey, "AWS_SECRET_ACCESS_KEY="+tt.secret)
			out, err := cmd.CombinedOutput()
			if err == nil || cmd.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), tt.says) {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}
