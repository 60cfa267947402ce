package s3

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	smithymiddleware "github.com/aws/smithy-go/middleware"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/sinks"
)

// store is the bucket: one attempt a call, every answer understood.
type store struct {
	client  *awss3.Client
	keys    *keyring
	bucket  string
	region  string
	keeping keeping
	timeout time.Duration
	close   func()
	log     *zap.Logger

	clock, encrypted sync.Once // for what is said once
}

// maxAnswer bounds what is read of an answer, in bytes. The answers that we ask for
// have no body, and S3's errors are below 1 KiB.
const maxAnswer = 64 << 10

func openStore(set *Settings, o sinks.Options, shared *common) (*store, error) {
	how := connecting{set.CAFile, o.Owner, o.Egress}
	transport, err := shared.connect(how)
	if err != nil {
		return nil, err
	}
	s, err := newStore(set, o, transport, shared)
	if err != nil {
		shared.disconnect(how)
		return nil, err
	}
	s.close = func() { shared.disconnect(how) }
	return s, nil
}

func newStore(set *Settings, o sinks.Options, transport http.RoundTripper, shared *common) (*store, error) {
	client := &http.Client{
		Transport: bounded{transport},
		// A redirect leads to another region or to a login page. Both are for the
		// operator: following it would show a stranger signed requests.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	keys, err := openKeyring(set, client, shared)
	if err != nil {
		return nil, err
	}
	s := &store{keys: keys, bucket: set.Bucket, region: set.region(), keeping: keepingOf(set), timeout: set.Timeout.Std(), log: o.Log.Named("s3")}
	options := awss3.Options{
		Region:       set.region(),
		Credentials:  keys.provider(),
		HTTPClient:   client,
		UsePathStyle: set.PathStyle,
		HTTPSignerV4: keys.newSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true }), // S3's paths are encoded once
		// Retrying is the pipeline's. A conditional PUT that were retried here would
		// meet its own object and hear 412.
		Retryer:                    aws.NopRetryer{},
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenRequired, // ours are computed already
		ResponseChecksumValidation: aws.ResponseChecksumValidationWhenRequired,
		APIOptions: []func(*smithymiddleware.Stack) error{
			awsmiddleware.AddUserAgentKeyValue("auditstream", o.Version),
		},
	}
	if set.Endpoint != "" {
		options.BaseEndpoint = aws.String(set.Endpoint)
	}
	s.client = awss3.New(options)
	return s, nil
}

// region is the one to sign for.
func (s *Settings) region() string {
	if s.Region == "" {
		return "us-east-1" // what S3-compatible stores expect where regions mean nothing
	}
	return s.Region
}

// outcome is what became of a conditional PUT.
type outcome int

const (
	refused outcome = iota // it has no effect
	created                // the object is durable, and ours
	exists                 // an object was there already, possibly ours
	unknown                // it may take effect, now or later
)

// put sends an object: where there is none, unless u overwrites. An error comes with
// refused and unknown only, and is an *sinks.Error.
func (s *store) put(ctx context.Context, u upload) (outcome, error) {
	inner, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	in := s.keeping.input(u, s.bucket, time.Now())
	in.Body = bytes.NewReader(u.body)
	keys := s.keys.generation()
	out, err := s.client.PutObject(inner, in)
	if err == nil {
		if aws.ToString(out.ETag) == "" { // S3 always gives one
			return unknown, s.errorf(sinks.Unavailable, "PUT "+u.key, http.StatusOK, errNotS3)
		}
		s.keys.accept(keys)
		s.notice(out)
		if u.answer != nil {
			*u.answer = *out
		}
		return created, nil
	}
	a := s.read(ctx, inner, "PUT "+u.key, keys, err)
	switch {
	case a.status == http.StatusPreconditionFailed:
		s.keys.accept(keys)
		return exists, nil
	case a.ambiguous():
		return unknown, a.refusal()
	default:
		return refused, a.refusal()
	}
}

// notice says, once, what an object that was created shows about the machine and the store.
func (s *store) notice(out *awss3.PutObjectOutput) {
	const bearable = 5 * time.Minute // S3 refuses requests that are off by 15
	if skew, ok := awsmiddleware.GetAttemptSkew(out.ResultMetadata); ok && skew.Abs() > bearable {
		s.clock.Do(func() {
			s.log.Warn("this machine's clock is wrong: requests are signed with the store's time, but Kafka and certificates go by the clock too: set it",
				zap.Duration("behind", skew.Round(time.Second)))
		})
	}
	if want := s.keeping.encryption; want != "" && out.ServerSideEncryption != want {
		s.encrypted.Do(func() {
			s.log.Warn("the store does not confirm that it encrypts objects as the settings say: see that it can",
				zap.String("asked", string(want)), zap.String("confirmed", string(out.ServerSideEncryption)))
		})
	}
}

// stored is what a HEAD says of an object beside its metadata.
type stored struct {
	size int64
	at   time.Time // when it was created; zero: the store did not say
}

// head is an object's metadata. The answer is nil if it is there. A HEAD's refusal has
// no body and so no code: 403 stands for a missing object as well, if the credentials
// lack s3:ListBucket.
func (s *store) head(ctx context.Context, key string) (map[string]string, *answer) {
	metadata, _, a := s.stat(ctx, key)
	return metadata, a
}

func (s *store) stat(ctx context.Context, key string) (map[string]string, stored, *answer) {
	inner, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	keys := s.keys.generation()
	out, err := s.client.HeadObject(inner, &awss3.HeadObjectInput{Bucket: &s.bucket, Key: &key, ExpectedBucketOwner: s.keeping.owner})
	if err != nil {
		return nil, stored{}, s.read(ctx, inner, "HEAD "+key, keys, err)
	}
	s.keys.accept(keys)
	return out.Metadata, stored{aws.ToInt64(out.ContentLength), aws.ToTime(out.LastModified)}, nil
}

// list is the next names of objects that begin with prefix and come behind last, and whether
// there are more.
func (s *store) list(ctx context.Context, prefix, last string) (names []string, more bool, refused *answer) {
	inner, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	keys := s.keys.generation()
	in := &awss3.ListObjectsV2Input{Bucket: &s.bucket, Prefix: &prefix, ExpectedBucketOwner: s.keeping.owner}
	if last != "" {
		in.StartAfter = &last
	}
	out, err := s.client.ListObjectsV2(inner, in)
	if err != nil {
		return nil, false, s.read(ctx, inner, "LIST "+prefix, keys, err)
	}
	s.keys.accept(keys)
	for _, o := range out.Contents {
		names = append(names, aws.ToString(o.Key))
	}
	return names, aws.ToBool(out.IsTruncated), nil
}

// get is an object's content. A larger one than most is an error.
func (s *store) get(ctx context.Context, key string, most int64) ([]byte, *answer, error) {
	inner, cancel := context.WithTimeout(context.WithValue(ctx, mostKey{}, most+1), s.timeout)
	defer cancel()
	keys := s.keys.generation()
	out, err := s.client.GetObject(inner, &awss3.GetObjectInput{Bucket: &s.bucket, Key: &key, ExpectedBucketOwner: s.keeping.owner})
	if err != nil {
		return nil, s.read(ctx, inner, "GET "+key, keys, err), nil
	}
	defer out.Body.Close() //nolint:errcheck // only read
	content, err := io.ReadAll(out.Body)
	if err == nil && int64(len(content)) > most {
		err = s.errorf(sinks.Misconfigured, "GET "+key, http.StatusOK, errLarge)
	}
	if err != nil {
		return nil, nil, err
	}
	s.keys.accept(keys)
	return content, nil, nil
}

// mostKey is of how many bytes of an answer are read, in a request's context.
type mostKey struct{}

// bounded cuts every answer off after maxAnswer bytes, but for objects that were asked for. Closing what is left unread
// closes the connection.
type bounded struct{ next http.RoundTripper }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.next.RoundTrip(proxied(r))
	note(r, resp, err)
	if err != nil {
		return nil, err
	}
	most := int64(maxAnswer)
	if asked, ok := r.Context().Value(mostKey{}).(int64); ok && resp.StatusCode == http.StatusOK {
		most = asked
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(resp.Body, most), resp.Body}
	return resp, nil
}
