package s3_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/auditstream/auditstream/internal/secret"
	"github.com/auditstream/auditstream/internal/units"
	"github.com/auditstream/auditstream/sinks"
	"github.com/auditstream/auditstream/sinks/s3"
)

func TestSettingsAreReadOverTheirDefaults(t *testing.T) {
	set := s3.Kind().Defaults()
	text := `{"bucket":"acme-audit","region":"eu-central-1","role_arn":"arn:aws:iam::123456789012:role/audit","external_id":"x1",
		"max_age":"5m","access_key_id":"AKIAX","secret_access_key":{"env":"S3_SECRET"}}`
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(set); err != nil {
		t.Fatal(err)
	}
	if err := set.Validate(); err != nil {
		t.Error(err)
	}
	want := sinks.Batching{MaxBytes: 8 << 20, Linger: 5 * time.Minute, Daily: true}
	if diff := cmp.Diff(want, set.Batching()); diff != "" {
		t.Errorf("batching (-want +got):\n%s", diff)
	}
}

func TestValidateNamesTheField(t *testing.T) {
	cases := []struct {
		name   string
		change func(*s3.Settings)
		fields []string
	}{
		{"as it is", func(*s3.Settings) {}, nil},
		{"store without regions", func(s *s3.Settings) { s.Region, s.Endpoint = "", "http://127.0.0.1:9000" }, nil},
		{"nothing", func(s *s3.Settings) { *s = *s3.Defaults() }, []string{"bucket", "region"}},
		{"bucket in capitals", func(s *s3.Settings) { s.Bucket = "Acme" }, []string{"bucket"}},
		{"bucket with a path", func(s *s3.Settings) { s.Bucket = "acme/audit" }, []string{"bucket"}},
		{"region with a space", func(s *s3.Settings) { s.Region = "eu central" }, []string{"region"}},
		{"prefix", func(s *s3.Settings) { s.Prefix = "audit/prod/" }, nil},
		{"prefix without its slash", func(s *s3.Settings) { s.Prefix = "audit" }, []string{"prefix"}},
		{"prefix from the root", func(s *s3.Settings) { s.Prefix = "/audit/" }, []string{"prefix"}},
		{"prefix with dots", func(s *s3.Settings) { s.Prefix = "a/../" }, []string{"prefix"}},
		{"prefix with a question mark", func(s *s3.Settings) { s.Prefix = "a?/" }, []string{"prefix"}},
		{"prefix without end", func(s *s3.Settings) { s.Prefix = strings.Repeat("x", 512) + "/" }, []string{"prefix"}},
		{"endpoint without scheme", func(s *s3.Settings) { s.Endpoint = "minio:9000" }, []string{"endpoint"}},
		{"endpoint with a password", func(s *s3.Settings) { s.Endpoint = "https://a:b@minio" }, []string{"endpoint"}},
		{"endpoint with a bucket", func(s *s3.Settings) { s.Endpoint = "https://minio/acme" }, []string{"endpoint"}},
		{"key without secret", func(s *s3.Settings) { s.AccessKeyID = "AKIAX" }, []string{"secret_access_key"}},
		{"secret without key", func(s *s3.Settings) { s.SecretAccessKey = secret.Ref{Env: "X"} }, []string{"access_key_id"}},
		{"secret in two places", func(s *s3.Settings) {
			s.AccessKeyID, s.SecretAccessKey = "AKIAX", secret.Ref{Env: "X", File: "/y"}
		}, []string{"secret_access_key"}},
		{"no role", func(s *s3.Settings) { s.RoleARN = "audit" }, []string{"role_arn"}},
		{"external id without role", func(s *s3.Settings) { s.ExternalID = "abc" }, []string{"role_arn"}},
		{"external id too short", func(s *s3.Settings) {
			s.RoleARN, s.ExternalID = "arn:aws-us-gov:iam::123456789012:role/a/b", "x"
		}, []string{"external_id"}},
		{"owner", func(s *s3.Settings) { s.ExpectedBucketOwner = "1234" }, []string{"expected_bucket_owner"}},
		{"certificates for http", func(s *s3.Settings) { s.CAFile, s.Endpoint = "/ca.pem", "http://127.0.0.1:9000" }, []string{"ca_file"}},
		{"encryption", func(s *s3.Settings) { s.Encryption = "aes" }, []string{"encryption"}},
		{"a key without encryption", func(s *s3.Settings) { s.KMSKeyID = "alias/audit" }, []string{"kms_key_id"}},
		{"a key for S3's own encryption", func(s *s3.Settings) { s.Encryption, s.KMSKeyID = s3.EncryptionS3, "alias/audit" }, []string{"kms_key_id"}},
		{"a key that is none", func(s *s3.Settings) { s.Encryption, s.KMSKeyID = s3.EncryptionKMS, "my key" }, []string{"kms_key_id"}},
		{"a bucket key without KMS", func(s *s3.Settings) { s.BucketKey = true }, []string{"bucket_key"}},
		{"a class that cannot be read", func(s *s3.Settings) { s.StorageClass = "DEEP_ARCHIVE" }, []string{"storage_class"}},
		{"a lock", func(s *s3.Settings) { s.ObjectLock, s.Retention = "compliance", units.Duration(24*time.Hour) }, nil},
		{"a lock without its time", func(s *s3.Settings) { s.ObjectLock = "compliance" }, []string{"retention"}},
		{"a time without its lock", func(s *s3.Settings) { s.Retention = units.Duration(24 * time.Hour) }, []string{"object_lock"}},
		{"a lock for hours", func(s *s3.Settings) { s.ObjectLock, s.Retention = "governance", units.Duration(time.Hour) }, []string{"retention"}},
		{"another lock", func(s *s3.Settings) { s.ObjectLock, s.Retention = "legal", units.Duration(48*time.Hour) }, []string{"object_lock"}},
		{"compression", func(s *s3.Settings) { s.Compression, s.ZstdLevel = "lz4", 0 }, []string{"compression", "zstd_level"}},
		{"nothing of a lake", func(s *s3.Settings) { s.SecurityLake = &s3.SecurityLake{} }, []string{"security_lake.source", "security_lake.account_id", "security_lake.class"}},
		{"a lake of huge objects", func(s *s3.Settings) { ofLake(s); s.MaxBytes = 65 << 20 }, []string{"max_bytes"}},
		{"a lake with a prefix", func(s *s3.Settings) { ofLake(s); s.Prefix = "audit/" }, []string{"prefix"}},
		{"a lake without its region", func(s *s3.Settings) { ofLake(s); s.Region, s.Endpoint = "", "http://127.0.0.1:9000" }, []string{"region"}},
		{"guarantee", func(s *s3.Settings) { s.Guarantee = "at_most_once" }, []string{"guarantee"}},
		{"checksum", func(s *s3.Settings) { s.Checksum = "always" }, []string{"checksum"}},
		{
			"sizes", func(s *s3.Settings) { s.MaxBytes, s.MaxEvents, s.MaxAge, s.GzipLevel, s.Timeout = 1, -1, 0, 0, 0 },
			[]string{"max_bytes", "max_events", "max_age", "gzip_level", "timeout"},
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			set := s3.Defaults()
			set.Bucket, set.Region = "acme-audit", "eu-central-1"
			c.change(set)
			var fields []string
			err := set.Validate()
			if joined, ok := err.(interface{ Unwrap() []error }); ok {
				for _, e := range joined.Unwrap() {
					f, ok := errors.AsType[*sinks.FieldError](e)
					if !ok {
						t.Fatalf("no FieldError: %v", e)
					}
					fields = append(fields, f.Field)
				}
			}
			if !slices.Equal(fields, c.fields) {
				t.Errorf("violations in %q, want %q: %v", fields, c.fields, err)
			}
		})
	}
}

// A place that changes begins a new epoch: none of these settings may change it by itself,
// or every stream would begin anew with the next version.
func TestPlace(t *testing.T) {
	set := s3.Defaults()
	set.Endpoint, set.Bucket, set.Prefix = "https://e", "b", "p/"
	if got, want := set.Place(), "https://e\nb\np/"; got != want {
		t.Errorf("place %q, want %q", got, want)
	}
	before := set.Place()
	set.StorageClass, set.Encryption, set.GzipLevel, set.MaxBytes = "STANDARD_IA", s3.EncryptionS3, 9, 1<<20
	if set.Place() != before {
		t.Error("what keeps the names of objects changes their place")
	}
	set.Guarantee = s3.AtLeastOnce
	if set.Place() == before {
		t.Error("objects outside of chains have the same place as chains")
	}
	set.Guarantee, set.Compression = s3.ExactlyOnce, s3.CompressionZstd
	if set.Place() == before {
		t.Error("another compression, and so other names, is the same place")
	}
}
