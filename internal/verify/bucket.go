package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
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

// OpenBucket lists a bucket: s3://NAME/PREFIX.
func OpenBucket(ctx context.Context, address string, o BucketOptions) (*Store, error) {
	name, prefix, _ := strings.Cut(strings.TrimPrefix(address, BucketScheme), "/")
	if name == "" {
		return nil, fmt.Errorf("%q names no bucket: s3://BUCKET/PREFIX", address)
	}
	var load []func(*config.LoadOptions) error
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
			s.BaseEndpoint, s.UsePathStyle = aws.String(o.Endpoint), true
			s.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
		}
	})
	return openStore(ctx, bucket{client, name, prefix}, BucketScheme+name)
}

func (b bucket) list(ctx context.Context, each func(key string, size int64) error) error {
	pages := awss3.NewListObjectsV2Paginator(b.client, &awss3.ListObjectsV2Input{Bucket: aws.String(b.name), Prefix: aws.String(b.prefix)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return fmt.Errorf("list s3://%s/%s: %w", b.name, b.prefix, err)
		}
		for _, o := range page.Contents {
			if err := each(aws.ToString(o.Key), aws.ToInt64(o.Size)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b bucket) open(ctx context.Context, key string) (io.ReadCloser, map[string]string, error) {
	out, err := b.client.GetObject(ctx, &awss3.GetObjectInput{Bucket: aws.String(b.name), Key: aws.String(key)})
	if err != nil {
		return nil, nil, err
	}
	if out.Body == nil {
		return nil, nil, errors.New("the store has answered without the object")
	}
	return out.Body, out.Metadata, nil
}
