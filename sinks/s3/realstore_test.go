package s3_test

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/google/go-cmp/cmp"

	"github.com/auditstream/auditstream/integrity"
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

// Digests and metadata as a server that was written by others keeps them: nothing of the
// chain is lost on the way, and a process that knows nothing goes on with the digests.
func TestDigestsWithARealStore(t *testing.T) {
	set := realStore(t)
	client := rawClient(t, set)
	if _, err := client.CreateBucket(t.Context(), &awss3.CreateBucketInput{Bucket: &set.Bucket}); err != nil {
		t.Fatal(err)
	}
	f := newFeed(t)
	one := openSink(t, set)
	f.begin(t, one)
	deliver(t, one, f.batch(3))
	f.batch(1) // went to the dead letters
	f.digest(t, one, 1)
	deliver(t, one, f.batch(2))
	f.digest(t, openSink(t, set), 2)
	f.digest(t, openSink(t, set), 3)
	f.digest(t, one, 4) // meets the digests of the other

	get := func(key string) []byte {
		t.Helper()
		out, err := client.GetObject(t.Context(), &awss3.GetObjectInput{Bucket: &set.Bucket, Key: &key})
		if err != nil {
			t.Fatal(err)
		}
		defer out.Body.Close() //nolint:errcheck // only read
		body, err := io.ReadAll(out.Body)
		if err != nil {
			t.Fatal(err)
		}
		return body
	}
	list, err := client.ListObjectsV2(t.Context(), &awss3.ListObjectsV2Input{Bucket: &set.Bucket, Prefix: aws.String(set.Prefix + "_digests/")})
	if err != nil {
		t.Fatal(err)
	}
	var numbers []string
	var previous integrity.Hash
	for i, o := range list.Contents {
		text := get(aws.ToString(o.Key))
		h, err := f.keys.OpenHour(text)
		if err != nil || i > 0 && h.Previous != previous {
			t.Fatalf("%s: %v\n%s", aws.ToString(o.Key), err, text)
		}
		previous = sha256.Sum256(text)
		line := ""
		for _, o := range h.Objects {
			packed := get(o.Key)
			if int64(len(packed)) != o.Size || integrity.Hash(sha256.Sum256([]byte(unpack(t, packed)))) != o.SHA256 {
				t.Errorf("%s is not as its digest says", o.Key)
			}
			line += fmt.Sprintf("%d-%d ", o.First, o.Last)
		}
		numbers = append(numbers, line)
	}
	if diff := cmp.Diff([]string{"", "1-3 ", "5-6 ", "", ""}, numbers); diff != "" {
		t.Errorf("numbers in the digests (-want +got):\n%s", diff)
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
