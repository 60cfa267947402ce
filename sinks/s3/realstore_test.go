package s3_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/auditstream/auditstream/internal/secret"
	"github.com/auditstream/auditstream/internal/units"
	"github.com/auditstream/auditstream/sinks"
	"github.com/auditstream/auditstream/sinks/s3"
)

// realStore is settings for a bucket in a real S3 server, which the integration tests
// start. Without one the test is skipped.
func realStore(t *testing.T) *s3.Settings {
	t.Helper()
	endpoint := os.Getenv("AUDITSTREAM_S3_ENDPOINT")
	if endpoint == "" {
		t.Skip("set AUDITSTREAM_S3_ENDPOINT, AUDITSTREAM_S3_ACCESS_KEY and AUDITSTREAM_S3_SECRET_KEY to run this against a real S3 server")
	}
	set := settings(t, endpoint)
	set.AccessKeyID = os.Getenv("AUDITSTREAM_S3_ACCESS_KEY")
	set.SecretAccessKey = secret.Ref{Env: "AUDITSTREAM_S3_SECRET_KEY"}
	set.Bucket = fmt.Sprintf("auditstream-%d", time.Now().UnixNano())
	return set
}

func TestKeepingWithARealStore(t *testing.T) {
	set := realStore(t)
	client := rawClient(t, set)
	if _, err := client.CreateBucket(t.Context(), &awss3.CreateBucketInput{Bucket: &set.Bucket, ObjectLockEnabledForBucket: aws.Bool(true)}); err != nil {
		t.Fatal(err)
	}
	cases := map[string]func(*s3.Settings){"locked": func(s *s3.Settings) {
		s.ObjectLock, s.Retention = s3.LockGovernance, units.Duration(24*time.Hour)
	}}
	for _, checksum := range []string{
		s3.ChecksumWhenSupported, s3.ChecksumWhenRequired, s3.ChecksumCRC32, s3.ChecksumCRC32C, s3.ChecksumCRC64, s3.ChecksumSHA256,
	} {
		for _, compression := range []string{s3.CompressionGzip, s3.CompressionZstd} {
			cases[checksum+" "+compression] = func(s *s3.Settings) { s.Checksum, s.Compression = checksum, compression }
		}
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			mine := *set
			mine.Prefix = strings.ReplaceAll(name, " ", "-") + "/"
			change(&mine)
			s := openSink(t, &mine)
			mark := deliver(t, s, newBatch(20, 10, 12)).Mark
			deliver(t, s, with(newBatch(30, 25), func(b *sinks.Batch) { b.Mark = mark }))
			b := &bucketOf{client: client, set: &mine}
			keys := b.list(t)
			if len(keys) != 2 {
				t.Fatalf("there are %q", keys)
			}
			for i, want := range []string{value(10) + " " + value(12), value(25)} {
				if got := strings.Join(b.fetch(t, keys[i]).lines, " "); got != want {
					t.Errorf("object %d holds %s, want %s", i, got, want)
				}
			}
			if mine.ObjectLock != "" {
				checkLock(t, client, &mine, keys[0])
			}
		})
	}
}

func checkLock(t *testing.T, client *awss3.Client, set *s3.Settings, key string) {
	t.Helper()
	out, err := client.HeadObject(t.Context(), &awss3.HeadObjectInput{Bucket: &set.Bucket, Key: &key})
	if err != nil {
		t.Fatal(err)
	}
	if left := time.Until(aws.ToTime(out.ObjectLockRetainUntilDate)); out.ObjectLockMode != types.ObjectLockModeGovernance || left <= 0 || left > set.Retention.Std() {
		t.Errorf("locked as %q for %v, want %s for %v", out.ObjectLockMode, left, types.ObjectLockModeGovernance, set.Retention)
	}
	_, err = client.DeleteObject(t.Context(), &awss3.DeleteObjectInput{Bucket: &set.Bucket, Key: &key, VersionId: out.VersionId})
	if err == nil {
		t.Error("a locked object was deleted")
	}
}

// A server that was written by others says itself what our double claims of it.
func TestAWrongSecretWithARealStore(t *testing.T) {
	set := realStore(t)
	set.SecretAccessKey = secret.Ref{Exec: []string{"echo", "wrong"}}
	_, err := openSink(t, set).Deliver(t.Context(), newBatch(20, 10))
	if sinks.ClassOf(err) != sinks.Misconfigured || !strings.Contains(err.Error(), "SignatureDoesNotMatch") {
		t.Errorf("error: %v", err)
	}
}
