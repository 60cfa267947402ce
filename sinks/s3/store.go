package s3

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	smithymiddleware "github.com/aws/smithy-go/middleware"

	"github.com/auditstream/auditstream/sinks"
)

// store is the bucket: one attempt a call, every answer understood.
type store struct {
	client    *awss3.Client
	transport *http.Transport
	keys      *keyring
	bucket    string
	region    string
	owner     *string // expected, nil if nobody in particular
	timeout   time.Duration
}

// maxAnswer bounds what is read of an answer, in bytes. The answers that we ask for
// have no body, and S3's errors are below 1 KiB.
const maxAnswer = 64 << 10

func openStore(set *Settings, o sinks.Options) (*store, error) {
	transport := newTransport()
	client := &http.Client{
		Transport: bounded{transport},
		// A redirect leads to another region or to a login page. Both are for the
		// operator: following it would show a stranger signed requests.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	keys, err := openKeyring(set, client)
	if err != nil {
		return nil, err
	}
	s := &store{
		transport: transport, keys: keys, bucket: set.Bucket, region: set.region(), timeout: set.Timeout.Std(),
	}
	if set.ExpectedBucketOwner != "" {
		s.owner = aws.String(set.ExpectedBucketOwner)
	}
	options := awss3.Options{
		Region:       set.region(),
		Credentials:  keys.provider(),
		HTTPClient:   client,
		UsePathStyle: set.PathStyle,
		HTTPSignerV4: keys.newSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true }), // S3's paths are encoded once
		// Retrying is the pipeline's. A conditional PUT that were retried here would
		// meet its own object and hear 412.
		Retryer:                    aws.NopRetryer{},
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenSupported,
		ResponseChecksumValidation: aws.ResponseChecksumValidationWhenRequired,
		APIOptions: []func(*smithymiddleware.Stack) error{
			awsmiddleware.AddUserAgentKeyValue("auditstream", o.Version),
		},
	}
	if set.Checksum == ChecksumWhenRequired {
		options.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
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

// create puts an object where there is none. An error comes with refused and unknown
// only, and is an *sinks.Error.
func (s *store) create(ctx context.Context, key, contentType string, body []byte, metadata map[string]string) (outcome, error) {
	inner, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	out, err := s.client.PutObject(inner, &awss3.PutObjectInput{
		Bucket: &s.bucket, Key: &key, Body: bytes.NewReader(body), ContentLength: aws.Int64(int64(len(body))),
		IfNoneMatch: aws.String("*"), ContentType: &contentType, Metadata: metadata, ExpectedBucketOwner: s.owner,
	})
	if err == nil {
		if aws.ToString(out.ETag) == "" { // S3 always gives one
			return unknown, s.errorf(sinks.Unavailable, "PUT "+key, http.StatusOK, errNotS3)
		}
		return created, nil
	}
	a := s.read(ctx, inner, "PUT "+key, err)
	switch {
	case a.status == http.StatusPreconditionFailed:
		return exists, nil
	case a.ambiguous():
		return unknown, a.refusal()
	default:
		return refused, a.refusal()
	}
}

// head is an object's metadata. The answer is nil if it is there. A HEAD's refusal has
// no body and so no code: 403 stands for a missing object as well, if the credentials
// lack s3:ListBucket.
func (s *store) head(ctx context.Context, key string) (map[string]string, *answer) {
	inner, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	out, err := s.client.HeadObject(inner, &awss3.HeadObjectInput{Bucket: &s.bucket, Key: &key, ExpectedBucketOwner: s.owner})
	if err != nil {
		return nil, s.read(ctx, inner, "HEAD "+key, err)
	}
	return out.Metadata, nil
}

// bounded cuts every answer off after maxAnswer bytes. Closing what is left unread
// closes the connection.
type bounded struct{ next http.RoundTripper }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(resp.Body, maxAnswer), resp.Body}
	return resp, nil
}

func dialer() func(ctx context.Context, network, address string) (net.Conn, error) {
	return (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext
}
