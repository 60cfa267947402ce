package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/config"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/logging"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// BucketOptions say how a bucket is reached. Credentials are those of the environment, as
// the AWS command line finds them.
type BucketOptions struct {
	Endpoint string // of another store than Amazon's
	Region   string
	Profile  string
}

// bucket is a bucket, or what is under a prefix of it.
type bucket struct {
	client       *awss3.Client
	name, prefix string
}

// BucketScheme begins the names of buckets.
const BucketScheme = "s3://"

// Bounds of requests: how many are under way, and how often one is tried that the store has
// refused for a reason that passes.
const (
	bucketWidth = 16
	bucketTries = 6
)

// OpenBucket lists a bucket: s3://NAME/PREFIX.
func OpenBucket(ctx context.Context, address string, o BucketOptions) (*Store, error) {
	name, prefix, _ := strings.Cut(strings.TrimPrefix(address, BucketScheme), "/")
	if name == "" {
		return nil, fmt.Errorf("%q names no bucket: s3://BUCKET/PREFIX", address)
	}
	load := []func(*config.LoadOptions) error{config.WithRetryer(func() aws.Retryer {
		return retry.AddWithMaxAttempts(retry.NewStandard(), bucketTries)
	}), config.WithLogger(logging.Nop{})} // what matters is told in the error
	if o.Region != "" {
		load = append(load, config.WithRegion(o.Region))
	}
	if o.Profile != "" {
		load = append(load, config.WithSharedConfigProfile(o.Profile))
	}
	loaded, err := config.LoadDefaultConfig(ctx, load...)
	if err != nil {
		return nil, err
	}
	if loaded.Region == "" {
		loaded.Region = "us-east-1"
	}
	client := awss3.NewFromConfig(loaded, func(s *awss3.Options) {
		if o.Endpoint != "" {
			s.BaseEndpoint = aws.String(o.Endpoint)
		}
		if s.BaseEndpoint != nil { // AWS_ENDPOINT_URL, or the profile, may name one too
			s.UsePathStyle = true
			s.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
		}
	})
	s, err := openStore(ctx, bucket{client, name, prefix}, BucketScheme+name, bucketWidth)
	if err == nil && len(s.events)+len(s.checkpoints)+len(s.digests) == 0 {
		err = fmt.Errorf("%s: there is nothing of a feed: check the name and the prefix", address)
	}
	return s, err
}

func (b bucket) list(ctx context.Context, each func(key string, size int64) error) error {
	pages := awss3.NewListObjectsV2Paginator(b.client, &awss3.ListObjectsV2Input{Bucket: aws.String(b.name), Prefix: aws.String(b.prefix)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return b.explain(ctx, "list s3://"+b.name+"/"+b.prefix, "s3:ListBucket", err)
		}
		for _, o := range page.Contents {
			if err := each(aws.ToString(o.Key), aws.ToInt64(o.Size)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b bucket) open(ctx context.Context, key string) (io.ReadCloser, error) {
	out, err := b.client.GetObject(ctx, &awss3.GetObjectInput{Bucket: aws.String(b.name), Key: aws.String(key)})
	if err != nil {
		return nil, b.explain(ctx, "read s3://"+b.name+"/"+key, "s3:GetObject", err)
	}
	if out.Body == nil {
		return nil, fmt.Errorf("read s3://%s/%s: the store has answered without the object", b.name, key)
	}
	return out.Body, nil
}

func (b bucket) metadata(ctx context.Context, key string) (map[string]string, error) {
	out, err := b.client.HeadObject(ctx, &awss3.HeadObjectInput{Bucket: aws.String(b.name), Key: aws.String(key)})
	if err == nil {
		return out.Metadata, nil
	}
	if err = b.explain(ctx, "read s3://"+b.name+"/"+key, "s3:GetObject", err); errors.Is(err, fs.ErrNotExist) {
		return nil, nil // whoever reads it notices
	}
	return nil, err
}

// explain says what stands in the way, and what to do about it.
func (b bucket) explain(ctx context.Context, what, right string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if strings.Contains(err.Error(), "get credentials") || strings.Contains(err.Error(), "refresh cached credentials") {
		// Before the answer is looked at, which may be that of the machine's own service.
		return fmt.Errorf("%s: there are no credentials: give some as to the AWS command line (AWS_ACCESS_KEY_ID, --profile, a role): %w", what, err)
	}
	status, code, text := 0, "", ""
	var header http.Header
	if r, ok := errors.AsType[*smithyhttp.ResponseError](err); ok && r.Response != nil {
		status, header = r.HTTPStatusCode(), r.Response.Header
	}
	if api, ok := errors.AsType[smithy.APIError](err); ok && status != 0 {
		code, text = api.ErrorCode(), api.ErrorMessage()
	}
	told := func(advice string) error {
		if text == "" {
			text = http.StatusText(status)
		}
		return fmt.Errorf("%s: %s (%d %s): %s", what, text, status, code, advice)
	}
	switch code {
	case "NoSuchKey", "NotFound":
		return fs.ErrNotExist
	case "NoSuchBucket":
		return told("there is no such bucket: check the name, and --endpoint if it is in another store than Amazon's")
	case "InvalidObjectState":
		return &outOfReachError{told("the object is in an archive class: restore it first")}
	case "ExpiredToken", "TokenRefreshRequired":
		return told("the session has expired: log in anew")
	case "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "InvalidClientTokenId":
		return told("the store does not take these credentials: check them, or name others by --profile")
	case "RequestTimeTooSkewed":
		return told("set the clock of this machine")
	case "PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "MovedPermanently":
		return told(regionAdvice(header))
	}
	switch {
	case strings.HasPrefix(code, "KMS."):
		return told("the credentials have to be allowed kms:Decrypt of the bucket's key")
	case status == http.StatusMovedPermanently || status == http.StatusBadRequest && header.Get("X-Amz-Bucket-Region") != "":
		return told(regionAdvice(header))
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return told("the credentials have to be allowed " + right)
	case status == http.StatusNotFound:
		return fs.ErrNotExist
	case status != 0:
		return told("the store has refused it, or failed, more often than it is tried")
	}
	if e, ok := errors.AsType[*aws.RequestCanceledError](err); ok {
		return fmt.Errorf("%s: %w", what, e)
	}
	return fmt.Errorf("%s: %w", what, err)
}

func regionAdvice(header http.Header) string {
	if region := header.Get("X-Amz-Bucket-Region"); region != "" {
		return "the bucket is in another region: --region " + region
	}
	return "the bucket is in another region: name it by --region"
}
