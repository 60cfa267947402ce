package s3store_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"github.com/auditstream/auditstream/sinks/sinktest/s3store"
)

func codeOf(err error) string {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return api.ErrorCode()
	}
	return ""
}

func head(ctx context.Context, c *awss3.Client, key string) (*awss3.HeadObjectOutput, error) {
	return c.HeadObject(ctx, &awss3.HeadObjectInput{Bucket: aws.String(bucket), Key: &key})
}

func lockedUntil(mode types.ObjectLockMode, at time.Time) func(*awss3.PutObjectInput) {
	return func(in *awss3.PutObjectInput) {
		in.ObjectLockMode, in.ObjectLockRetainUntilDate, in.ChecksumAlgorithm = mode, &at, types.ChecksumAlgorithmCrc32
	}
}

func TestEncryptionIsKeptAndTold(t *testing.T) {
	_, url := start(t, s3store.Config{KMSKeys: []string{"alias/audit"}})
	c := client(t, url)
	encrypted := func(how types.ServerSideEncryption, key *string) func(*awss3.PutObjectInput) {
		return func(in *awss3.PutObjectInput) {
			in.ServerSideEncryption, in.SSEKMSKeyId, in.BucketKeyEnabled = how, key, aws.Bool(key != nil)
		}
	}
	if err := put(t.Context(), c, "plain", "x"); err != nil {
		t.Fatal(err)
	}
	if err := put(t.Context(), c, "kms", "x", encrypted(types.ServerSideEncryptionAwsKms, aws.String("alias/audit"))); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]types.ServerSideEncryption{"plain": types.ServerSideEncryptionAes256, "kms": types.ServerSideEncryptionAwsKms} {
		out, err := head(t.Context(), c, key)
		if err != nil || out.ServerSideEncryption != want || aws.ToBool(out.BucketKeyEnabled) != (key == "kms") {
			t.Errorf("%s: %v, encrypted with %q, bucket key %v", key, err, out.ServerSideEncryption, aws.ToBool(out.BucketKeyEnabled))
		}
	}
	err := put(t.Context(), c, "other", "x", encrypted(types.ServerSideEncryptionAwsKms, aws.String("alias/other")))
	if codeOf(err) != "KMS.NotFoundException" {
		t.Errorf("an unknown key: %v", err)
	}
	err = put(t.Context(), c, "mixed", "x", encrypted(types.ServerSideEncryptionAes256, aws.String("alias/audit")))
	if codeOf(err) != "InvalidArgument" {
		t.Errorf("a key of KMS for S3's own encryption: %v", err)
	}
}

func TestALockNeedsABucketWithLocksAndACheckSum(t *testing.T) {
	tomorrow := time.Now().Add(24 * time.Hour)
	noSum := func(in *awss3.PutObjectInput) { in.ChecksumAlgorithm = "" }
	cases := []struct {
		name   string
		store  s3store.Config
		change func(*awss3.PutObjectInput)
		until  time.Time
		code   string
	}{
		{"as it should be", s3store.Config{ObjectLock: true}, nil, tomorrow, ""},
		{"a bucket without", s3store.Config{}, nil, tomorrow, "InvalidRequest"},
		{"no check sum", s3store.Config{ObjectLock: true}, noSum, tomorrow, "InvalidRequest"},
		{"a time that has passed", s3store.Config{ObjectLock: true}, nil, time.Now().Add(-time.Hour), "InvalidArgument"},
		{"not permitted", s3store.Config{ObjectLock: true, Deny: []string{"s3:PutObjectRetention"}}, nil, tomorrow, "AccessDenied"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s, url := start(t, c.store)
			change := []func(*awss3.PutObjectInput){lockedUntil(types.ObjectLockModeCompliance, c.until)}
			if c.change != nil {
				change = append(change, c.change)
			}
			err := put(t.Context(), client(t, url), "a", "x", change...)
			if codeOf(err) != c.code || (err == nil) != (c.code == "") {
				t.Errorf("answered %v, want %q", err, c.code)
			}
			if (len(s.Locked()) == 1) != (c.code == "") {
				t.Errorf("locked are %v", s.Locked())
			}
		})
	}
}

func TestALockedVersionStays(t *testing.T) {
	s, url := start(t, s3store.Config{ObjectLock: true})
	c := client(t, url)
	if err := put(t.Context(), c, "a", "first", lockedUntil(types.ObjectLockModeGovernance, time.Now().Add(time.Hour))); err != nil {
		t.Fatal(err)
	}
	first, err := head(t.Context(), c, "a")
	if err != nil || first.ObjectLockMode != types.ObjectLockModeGovernance {
		t.Fatalf("%v, locked as %q", err, first.ObjectLockMode)
	}
	remove := func(version *string, bypass bool) error {
		_, err := c.DeleteObject(t.Context(), &awss3.DeleteObjectInput{
			Bucket: aws.String(bucket), Key: aws.String("a"), VersionId: version, BypassGovernanceRetention: &bypass,
		})
		return err
	}
	if err := remove(nil, false); err != nil { // hidden only
		t.Fatal(err)
	}
	if _, err := head(t.Context(), c, "a"); err == nil {
		t.Error("a deleted object is there")
	}
	if err := put(t.Context(), c, "a", "second", onlyNew); err != nil {
		t.Errorf("nothing is there, and a creation is refused: %v", err)
	}
	if err := remove(first.VersionId, false); codeOf(err) != "AccessDenied" {
		t.Errorf("a locked version is deleted: %v", err)
	}
	if err := remove(first.VersionId, true); err != nil {
		t.Errorf("who may bypass the lock: %v", err)
	}
	if n := len(s.Locked()); n != 0 {
		t.Errorf("%d versions are locked", n)
	}
	if _, data, _ := s.Get(bucket, "a"); string(data) != "second" {
		t.Errorf("there is %q", data)
	}
}

func TestABucketsDefaultLocksWhatBringsNone(t *testing.T) {
	s, url := start(t, s3store.Config{ObjectLock: true, DefaultLock: "COMPLIANCE", DefaultRetention: 48 * time.Hour})
	c := client(t, url)
	if err := put(t.Context(), c, "a", "x"); err != nil {
		t.Fatal(err)
	}
	out, err := c.GetObjectLockConfiguration(t.Context(), &awss3.GetObjectLockConfigurationInput{Bucket: aws.String(bucket)})
	if err != nil || out.ObjectLockConfiguration.Rule == nil || aws.ToInt32(out.ObjectLockConfiguration.Rule.DefaultRetention.Days) != 2 {
		t.Errorf("configuration %+v, %v", out, err)
	}
	if locked := s.Locked(); len(locked) != 1 || locked[0].Lock != "COMPLIANCE" {
		t.Errorf("locked are %+v", locked)
	}
	_, url = start(t, s3store.Config{})
	_, err = client(t, url).GetObjectLockConfiguration(t.Context(), &awss3.GetObjectLockConfigurationInput{Bucket: aws.String(bucket)})
	if codeOf(err) != "ObjectLockConfigurationNotFoundError" {
		t.Errorf("a bucket without: %v", err)
	}
}

func TestRotatedCredentialsAreRefused(t *testing.T) {
	s, url := start(t, s3store.Config{})
	long := client(t, url)
	session := func(id, secret, token string) *awss3.Client {
		return client(t, url, func(o *awss3.Options) { o.Credentials = credentials.NewStaticCredentialsProvider(id, secret, token) })
	}
	s.Rotate("ASIAONE", "one", "token-1")
	if err := put(t.Context(), long, "a", "x"); codeOf(err) != "InvalidAccessKeyId" {
		t.Errorf("a key that was taken away: %v", err)
	}
	first := session("ASIAONE", "one", "token-1")
	if err := put(t.Context(), first, "a", "x"); err != nil {
		t.Errorf("the new ones: %v", err)
	}
	s.Rotate("ASIATWO", "two", "token-2")
	if err := put(t.Context(), first, "a", "x"); codeOf(err) != "ExpiredToken" {
		t.Errorf("a session that has ended: %v", err)
	}
	if err := put(t.Context(), session("ASIATWO", "two", "token-1"), "a", "x"); codeOf(err) != "InvalidToken" {
		t.Errorf("a token of another session: %v", err)
	}
}

func TestTheErrorsOfS3(t *testing.T) {
	s, url := start(t, s3store.Config{})
	c := client(t, url)
	for _, code := range []string{
		"SlowDown", "ServiceUnavailable", "InternalError", "RequestTimeout", "ConditionalRequestConflict", "OperationAborted",
		"KMS.DisabledException", "KMS.KMSInvalidStateException", "ThrottlingException",
	} {
		s.Fail(code, 1)
		if err := put(t.Context(), c, "a", "x"); codeOf(err) != code {
			t.Errorf("%s: answered %v", code, err)
		}
	}
	if n := len(s.Objects(bucket, "")); n != 0 {
		t.Errorf("%d objects were stored", n)
	}
	if err := put(t.Context(), c, "a", "x"); err != nil {
		t.Errorf("after that: %v", err)
	}
}

func TestAMovedBucketSaysWhere(t *testing.T) {
	_, url := start(t, s3store.Config{Moved: "eu-west-9"})
	err := put(t.Context(), client(t, url), "a", "x")
	if codeOf(err) != "PermanentRedirect" {
		t.Errorf("answered %v", err)
	}
	_, url = start(t, s3store.Config{Region: "eu-west-9"})
	if err := put(t.Context(), client(t, url), "a", "x"); codeOf(err) != "AuthorizationHeaderMalformed" || !strings.Contains(err.Error(), "eu-west-9") {
		t.Errorf("answered %v", err)
	}
}
