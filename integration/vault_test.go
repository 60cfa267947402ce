//go:build integration

package integration

import (
	"io"
	"strings"
	"testing"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/auditstream/auditstream/integration/servers"
)

// vault is a bucket with Object Lock, of which delivery has no more rights than the
// documentation gives it.
type vault struct {
	store     *servers.S3
	accessKey string
	secretKey string
}

func newVault(t *testing.T) *vault {
	t.Helper()
	store := servers.StartS3With(t, servers.S3Config{ObjectLock: true})
	const name = "delivery"
	return &vault{store, name, store.Account(t, name, "s3:PutObject", "s3:PutObjectRetention", "s3:GetBucketObjectLockConfiguration")}
}

// notes are the checkpoints that were put there, by key.
func (v *vault) notes(t *testing.T) map[string][]byte {
	t.Helper()
	return objectsOf(t, v.store, func(string) bool { return true })
}

// objectsOf reads the objects of a bucket whose keys are wanted.
func objectsOf(t *testing.T, store *servers.S3, wanted func(key string) bool) map[string][]byte {
	t.Helper()
	client := store.Client()
	out := map[string][]byte{}
	pages := awss3.NewListObjectsV2Paginator(client, &awss3.ListObjectsV2Input{Bucket: &store.Bucket})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range page.Contents {
			if !wanted(*o.Key) {
				continue
			}
			got, err := client.GetObject(t.Context(), &awss3.GetObjectInput{Bucket: &store.Bucket, Key: o.Key})
			if err != nil {
				t.Fatalf("%s: %v", *o.Key, err)
			}
			body, err := io.ReadAll(got.Body)
			if err != nil {
				t.Fatalf("%s: %v", *o.Key, err)
			}
			if err := got.Body.Close(); err != nil {
				t.Fatal(err)
			}
			out[*o.Key] = body
		}
	}
	return out
}

// isCheckpoint tells the checkpoints of an S3 destination from its events.
func isCheckpoint(key string) bool { return strings.Contains("/"+key, "/_checkpoints/") }
