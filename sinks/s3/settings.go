package s3

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/auditstream/auditstream/internal/secret"
	"github.com/auditstream/auditstream/internal/units"
	"github.com/auditstream/auditstream/sinks"
)

// Values of Settings.Checksum.
const (
	ChecksumWhenSupported = "when_supported"
	ChecksumWhenRequired  = "when_required"
)

// Settings are the destination of one stream. A change of bucket, prefix or endpoint
// begins a new chain and so needs a new epoch of the stream.
type Settings struct {
	Bucket string `json:"bucket"` // required
	Region string `json:"region"` // required, unless Endpoint is given: then us-east-1
	Prefix string `json:"prefix"` // of every key: empty, or ending in a slash

	// Endpoint is the base URL of an S3-compatible store; empty for Amazon S3.
	Endpoint string `json:"endpoint"`
	// PathStyle puts the bucket into the path and not before the host name, as most
	// S3-compatible stores need it.
	PathStyle bool `json:"path_style"`

	// AccessKeyID and SecretAccessKey are static credentials. Without them, those of the
	// environment, the AWS files, the container or the machine are used.
	AccessKeyID     string     `json:"access_key_id"`
	SecretAccessKey secret.Ref `json:"secret_access_key"`
	// RoleARN is a role to assume with these credentials; ExternalID is what the role's
	// owner asks for beside them; STSEndpoint replaces the region's own STS.
	RoleARN     string `json:"role_arn"`
	ExternalID  string `json:"external_id"`
	STSEndpoint string `json:"sts_endpoint"`

	// ExpectedBucketOwner is an account id; S3 refuses us if another one owns the bucket.
	ExpectedBucketOwner string `json:"expected_bucket_owner"`
	// Checksum when_supported sends a CRC32 with every object; when_required does not,
	// for stores that do not know it. Either way the metadata hold a SHA-256.
	Checksum string `json:"checksum"`

	MaxBytes  units.Bytes    `json:"max_bytes"`  // of an object's events, uncompressed
	MaxEvents int            `json:"max_events"` // of an object; 0: no limit
	MaxAge    units.Duration `json:"max_age"`    // how long an event may wait for others
	GzipLevel int            `json:"gzip_level"` // 1 (fast) to 9 (small)
	Timeout   units.Duration `json:"timeout"`    // of one request
}

// Defaults are the settings that hold where nothing is written. Objects of 8 MiB or a
// minute are a compromise between requests, which cost money, and freshness.
func Defaults() *Settings {
	return &Settings{
		Checksum:  ChecksumWhenSupported,
		MaxBytes:  8 * units.MiB,
		MaxAge:    units.Duration(time.Minute),
		GzipLevel: 6,
		Timeout:   units.Duration(time.Minute),
	}
}

// Batching is how the events of a lane are cut into objects.
func (s *Settings) Batching() sinks.Batching {
	return sinks.Batching{MaxBytes: s.MaxBytes.Int(), MaxEvents: s.MaxEvents, Linger: s.MaxAge.Std(), Daily: true}
}

// Bounds of the settings.
const (
	maxPrefix   = 512
	maxExternal = 1224 // https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
	minBytes    = units.KiB
	maxBytes    = 256 * units.MiB
	maxAge      = 24 * time.Hour
	minTimeout  = time.Second
	maxTimeout  = time.Hour
)

var (
	// https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
	bucketForm = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)
	// What AWS calls safe characters, and the two of Hive's directories:
	// https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
	prefixForm   = regexp.MustCompile(`^[A-Za-z0-9!_.*'()=/-]+/$`)
	regionForm   = regexp.MustCompile(`^[a-z0-9-]+$`)
	roleForm     = regexp.MustCompile(`^arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9+=,.@_/-]+$`)
	externalForm = regexp.MustCompile(`^[A-Za-z0-9_+=,.@:/-]+$`)
	ownerForm    = regexp.MustCompile(`^[0-9]{12}$`)
)

// Validate reports every violation, joined; each is a *sinks.FieldError.
func (s *Settings) Validate() error {
	var errs []error
	check := func(ok bool, field, format string, args ...any) {
		if !ok {
			errs = append(errs, &sinks.FieldError{Field: field, Message: fmt.Sprintf(format, args...)})
		}
	}
	if s.Bucket == "" {
		check(false, "bucket", "required")
	} else {
		check(bucketForm.MatchString(s.Bucket), "bucket", "%q is no bucket's name: 3 to 63 of a-z, 0-9, - and .", s.Bucket)
	}
	check(s.Region != "" || s.Endpoint != "", "region", "required, as in eu-central-1")
	check(s.Region == "" || regionForm.MatchString(s.Region), "region", "%q is no region's name, as eu-central-1 is", s.Region)
	check(s.Prefix == "" || validPrefix(s.Prefix), "prefix",
		"write at most %d letters, digits and any of !_.*'()=- with slashes between, none in front and one at the end, as in audit/prod/", maxPrefix)
	check(s.Endpoint == "" || validURL(s.Endpoint), "endpoint", "write a URL of scheme and host only, as in https://minio.example:9000")
	check(s.STSEndpoint == "" || validURL(s.STSEndpoint), "sts_endpoint", "write a URL of scheme and host only, as in https://sts.eu-central-1.amazonaws.com")
	s.validateCredentials(check)
	check(s.ExpectedBucketOwner == "" || ownerForm.MatchString(s.ExpectedBucketOwner), "expected_bucket_owner", "write an account id of 12 digits, in quotes")
	check(s.Checksum == ChecksumWhenSupported || s.Checksum == ChecksumWhenRequired, "checksum",
		"write %s or %s", ChecksumWhenSupported, ChecksumWhenRequired)
	check(s.MaxBytes >= minBytes && s.MaxBytes <= maxBytes, "max_bytes", "write a size of %v to %v", minBytes, maxBytes)
	check(s.MaxEvents >= 0, "max_events", "write a number, 0 for no limit")
	check(s.MaxAge > 0 && s.MaxAge.Std() <= maxAge, "max_age", "write a duration of up to %v", maxAge)
	check(s.GzipLevel >= 1 && s.GzipLevel <= 9, "gzip_level", "write a number of 1 to 9")
	check(s.Timeout.Std() >= minTimeout && s.Timeout.Std() <= maxTimeout, "timeout", "write a duration of %v to %v", minTimeout, maxTimeout)
	return errors.Join(errs...)
}

func (s *Settings) validateCredentials(check func(ok bool, field, format string, args ...any)) {
	hasSecret := s.SecretAccessKey.Env != "" || s.SecretAccessKey.File != "" || len(s.SecretAccessKey.Exec) > 0
	check(s.AccessKeyID != "" || !hasSecret, "access_key_id", "required beside secret_access_key")
	check(hasSecret || s.AccessKeyID == "", "secret_access_key", "required beside access_key_id: write where it is kept, as in {env: NAME}")
	if hasSecret {
		err := s.SecretAccessKey.Check()
		check(err == nil, "secret_access_key", "%v", err)
	}
	check(s.RoleARN == "" || roleForm.MatchString(s.RoleARN), "role_arn", "write a role as in arn:aws:iam::123456789012:role/auditstream")
	check(s.ExternalID == "" || len(s.ExternalID) >= 2 && len(s.ExternalID) <= maxExternal && externalForm.MatchString(s.ExternalID),
		"external_id", "write 2 to 1224 letters, digits and any of _+=,.@:/-")
	check(s.ExternalID == "" || s.RoleARN != "", "role_arn", "required beside external_id")
	check(s.STSEndpoint == "" || s.RoleARN != "", "role_arn", "required beside sts_endpoint")
}

func validPrefix(p string) bool {
	if len(p) > maxPrefix || !prefixForm.MatchString(p) {
		return false
	}
	for segment := range strings.SplitSeq(strings.TrimSuffix(p, "/"), "/") {
		if segment == "" || segment == "." || segment == ".." { // some tools cannot address these
			return false
		}
	}
	return true
}

func validURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" &&
		u.User == nil && (u.Path == "" || u.Path == "/") && u.RawQuery == "" && u.Fragment == ""
}

// Place is where the objects are put: settings that put them elsewhere begin a new chain.
func (s *Settings) Place() string {
	return strings.Join([]string{s.Endpoint, s.Bucket, s.Prefix}, "\n")
}
