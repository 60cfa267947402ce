package s3

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/auditstream/auditstream/sinks"
	"github.com/auditstream/auditstream/sinks/transport"
)

// Steps beside the usual ones.
const (
	stepLock   = "lock"   // whether the bucket locks what is put there
	stepDelete = "delete" // the object of the test is gone again
)

// Test implements sinks.Tester. It writes b as an object of its own, which stands in no
// chain and is not retained, looks whether it is there, and deletes it. In a bucket that
// locks every new object, or may do so, no such object is written: there it tries to
// create the one that delivery tries to create anyway, and says what that shows.
func (s *Sink) Test(ctx context.Context, b *sinks.Batch, report func(sinks.Step)) error {
	if err := checkBatch(b); err != nil {
		return err
	}
	t := &test{sink: s, seen: &exchange{}}
	told := func(step sinks.Step) {
		if step.Name == sinks.StepWrite || step.Name == sinks.StepCredentials && step.Err != nil {
			step.Sent, step.Answer = t.seen.texts(s.store.keys)
			if len(t.lines) > 0 {
				step.Sent += "\nunpacked:\n" + string(t.lines)
			}
			if step.Err == nil {
				step.Detail = t.wrote
			}
		}
		report(step)
	}
	err := transport.Probe(context.WithValue(ctx, exchangeKey{}, t.seen), told, func(ctx context.Context) error { return t.write(ctx, b) })
	if err != nil {
		return err
	}
	if t.lock != "" {
		report(sinks.Step{Name: stepLock, Detail: t.lock})
	}
	if t.key == "" {
		return nil
	}
	return t.readBack(ctx, report)
}

// test is one Test on its way.
type test struct {
	sink    *Sink
	seen    *exchange
	lines   []byte  // of the test's own object, before they were packed
	lock    string  // what is to be said about the bucket's locks
	wrote   string  // what the write has shown
	key     string  // of the test's own object, empty if none was written
	version *string // of it, nil without versions
}

func (t *test) write(ctx context.Context, b *sinks.Batch) error {
	if err := ended(ctx); err != nil {
		return err
	}
	s := t.sink
	lock, err := s.store.locks(ctx)
	switch {
	case err != nil:
		return err
	case lock.unknown:
		t.lock = "these credentials may not see whether the bucket locks new objects (s3:GetBucketObjectLockConfiguration), " +
			"so the test wrote no object that could be locked"
		return t.knock(ctx)
	case lock.mode != "":
		t.lock = fmt.Sprintf("the bucket locks every new object (%s for %s), so the test wrote none of its own", lock.mode, lock.time)
		if _, a := s.store.head(ctx, s.probe.key); a != nil {
			if a.status == 0 || a.credential {
				return a.refusal()
			}
			t.wrote = "not tried: there is nothing yet that a write could be refused for without leaving a locked object"
			return nil
		}
		return t.knock(ctx)
	}
	lines := b.Body
	if s.layout.check != nil {
		lines = nil // the event of a test may be none of those that such objects take
	}
	t.lines = lines
	packed, err := s.layout.pack(lines)
	if err != nil {
		return err
	}
	key := s.layout.root + ".auditstream-test/" + rand.Text() + s.layout.ending
	out, err := s.store.putNew(ctx, upload{key: key, contentType: s.layout.contentType, body: packed})
	if err != nil {
		return err
	}
	t.key, t.version = key, out.VersionId
	t.wrote = fmt.Sprintf("created s3://%s/%s, %d bytes", s.store.bucket, key, len(packed))
	return nil
}

// knock tries to create the object of the probe, as delivery does.
func (t *test) knock(ctx context.Context) error {
	s := t.sink
	object, err := s.probe.object()
	if err != nil {
		return err
	}
	o, err := s.store.put(ctx, object)
	switch o {
	case exists:
		t.wrote = fmt.Sprintf("tried to create s3://%s/%s and heard that it is there: writing is allowed, nothing was written", s.store.bucket, s.probe.key)
		return nil
	case created:
		t.wrote = fmt.Sprintf("created s3://%s/%s, which tells what it is and may be deleted", s.store.bucket, s.probe.key)
		return nil
	case refused, unknown:
	}
	return err
}

// readBack looks at the test's object as delivery looks at those of others, and deletes it.
func (t *test) readBack(ctx context.Context, report func(sinks.Step)) error {
	s, begun := t.sink.store, time.Now()
	_, a := s.head(ctx, t.key)
	step := sinks.Step{Name: sinks.StepAcknowledge, Took: time.Since(begun), Detail: "the object is there and its metadata can be read"}
	if a != nil {
		err := a.refusal()
		if a.status == http.StatusForbidden {
			err = s.errorf(sinks.Misconfigured, a.what, a.status, errNoHead)
		}
		step.Err, step.Detail = err, ""
	}
	if step.Err == nil {
		report(step)
	}
	deleted := t.delete(ctx)
	if step.Err != nil { // the last step is the one that failed
		report(step)
		return step.Err
	}
	report(deleted)
	return nil
}

// delete takes the object away. Delivery deletes nothing, so that it is no failure of the
// stream if the credentials may not.
func (t *test) delete(ctx context.Context) sinks.Step {
	s := t.sink.store
	inner, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	begun := time.Now()
	_, err := s.client.DeleteObject(inner, &awss3.DeleteObjectInput{
		Bucket: &s.bucket, Key: &t.key, VersionId: t.version, ExpectedBucketOwner: s.keeping.owner,
	})
	step := sinks.Step{Name: stepDelete, Took: time.Since(begun), Detail: "the object of the test is gone again"}
	if err != nil {
		a := s.read(ctx, inner, "DELETE "+t.key, s.keys.generation(), err)
		step.Detail = fmt.Sprintf("not deleted (%s): delete s3://%s/%s by hand; delivery itself deletes nothing and needs no permission to",
			strings.Join(nonEmpty(a.code, a.text), ": "), s.bucket, t.key)
	}
	return step
}

// locking is what a bucket does with objects that bring no lock of their own.
type locking struct {
	unknown bool
	none    bool   // the bucket has no Object Lock: it refuses objects that bring a lock
	mode    string // empty: it locks none
	time    string // for how long
}

// locks asks for the bucket's own lock of new objects.
func (s *store) locks(ctx context.Context) (locking, error) {
	inner, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	keys := s.keys.generation()
	out, err := s.client.GetObjectLockConfiguration(inner, &awss3.GetObjectLockConfigurationInput{Bucket: &s.bucket, ExpectedBucketOwner: s.keeping.owner})
	if err != nil {
		a := s.read(ctx, inner, "GET object lock of the bucket", keys, err)
		switch {
		case a.code == "ObjectLockConfigurationNotFoundError":
			return locking{none: true}, nil
		case a.code == "AccessDenied", a.code == "NotImplemented", a.code == "MethodNotAllowed", a.status == http.StatusNotImplemented, a.status == http.StatusMethodNotAllowed:
			return locking{unknown: true}, nil
		}
		return locking{}, a.refusal()
	}
	if out.ObjectLockConfiguration == nil || out.ObjectLockConfiguration.Rule == nil || out.ObjectLockConfiguration.Rule.DefaultRetention == nil {
		return locking{}, nil
	}
	d := out.ObjectLockConfiguration.Rule.DefaultRetention
	l := locking{mode: string(d.Mode), time: fmt.Sprintf("%d days", aws.ToInt32(d.Days))}
	if d.Years != nil {
		l.time = fmt.Sprintf("%d years", *d.Years)
	}
	return l, nil
}

// putNew creates the object u and tells what the store said of it.
func (s *store) putNew(ctx context.Context, u upload) (*awss3.PutObjectOutput, error) {
	out := new(awss3.PutObjectOutput)
	u.answer = out
	switch o, err := s.put(ctx, u); o {
	case created:
	case exists:
		return nil, s.errorf(sinks.Unavailable, "PUT "+u.key, http.StatusPreconditionFailed, errors.New("an object of this random name is there already"))
	case refused, unknown:
		return nil, err
	}
	return out, nil
}

// exchange is the last request of a test, and its answer.
type exchange struct {
	mu           sync.Mutex
	sent, answer string // guarded by mu
}

type exchangeKey struct{}

// note keeps a request and its answer if somebody tests.
func note(r *http.Request, resp *http.Response, err error) {
	e, _ := r.Context().Value(exchangeKey{}).(*exchange)
	if e == nil || r.Method != http.MethodPut {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.sent = dump(r.Method+" "+r.URL.RequestURI()+" HTTP/1.1\nHost: "+r.URL.Host, r.Header) + fmt.Sprintf("\n%d bytes of body\n", r.ContentLength)
	e.answer = ""
	if err == nil {
		e.answer = dump(resp.Proto+" "+resp.Status, resp.Header)
	}
}

// texts are what was noted, without secrets.
func (e *exchange) texts(k *keyring) (sent, answer string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return masked(k, e.sent), clip(masked(k, e.answer))
}

// signature is what of a signed request would let another one be made, for a while.
var signature = regexp.MustCompile(`(?i)(Signature=)[0-9a-f]{16,}`)

func masked(k *keyring, text string) string {
	return signature.ReplaceAllString(k.scrub(text), "${1}[secret]")
}

func dump(first string, h http.Header) string {
	lines := []string{first}
	for name, values := range h {
		if strings.EqualFold(name, "X-Amz-Security-Token") {
			values = []string{"[secret]"}
		}
		lines = append(lines, name+": "+strings.Join(values, ", "))
	}
	slices.Sort(lines[1:])
	return strings.Join(lines, "\n")
}
