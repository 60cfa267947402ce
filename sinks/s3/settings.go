package s3

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/auditstream/auditstream/internal/secret"
	"github.com/auditstream/auditstream/internal/units"
	"github.com/auditstream/auditstream/sinks"
	"github.com/auditstream/auditstream/sinks/transport"
)

// Values of Settings.Checksum.
const (
	ChecksumWhenSupported = "when_supported" // CRC32, which every present store knows
	ChecksumWhenRequired  = "when_required"
	ChecksumCRC32         = "crc32"
	ChecksumCRC32C        = "crc32c"
	ChecksumCRC64         = "crc64nvme"
	ChecksumSHA256        = "sha256"
)

// Values of Settings.Guarantee.
const (
	ExactlyOnce = "exactly_once"
	AtLeastOnce = "at_least_once" // for stores that ignore If-None-Match
)

// Values of Settings.Encryption.
const (
	EncryptionS3       = "s3"       // keys of S3
	EncryptionKMS      = "kms"      // a key of KMS
	EncryptionKMSTwice = "kms-dsse" // the same, in two layers
)

// Values of Settings.ObjectLock.
const (
	LockGovernance = "governance" // who has the permission may shorten it
	LockCompliance = "compliance" // nobody may
)

// Settings are the destination of one stream. A change of bucket, prefix, endpoint or
// compression begins a new chain and so needs a new epoch of the stream.
type Settings struct {
	Bucket string `json:"bucket"` // required
	Region string `json:"region"` // required, unless Endpoint is given: then us-east-1
	Prefix string `json:"prefix"` // of every key: empty, or ending in a slash

	// Endpoint is the base URL of an S3-compatible store; empty for Amazon S3.
	Endpoint string `json:"endpoint"`
	// PathStyle puts the bucket into the path and not before the host name, as most
	// S3-compatible stores need it.
	PathStyle bool `json:"path_style"`
	// CAFile holds the certificates in PEM form that are trusted in place of the system's.
	CAFile string `json:"ca_file"`

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
	// Guarantee is exactly_once, or at_least_once for stores that ignore If-None-Match.
	Guarantee string `json:"guarantee"`

	// Checksum says what the store compares the body with: one of Checksum…. when_required
	// sends none, for stores that know none. Either way the metadata hold a SHA-256.
	Checksum string `json:"checksum"`

	// Encryption asks for more than the bucket's own default: one of Encryption…, or empty.
	// KMSKeyID is the key's ARN, id or alias, BucketKey saves calls of KMS.
	Encryption string `json:"encryption"`
	KMSKeyID   string `json:"kms_key_id"`
	BucketKey  bool   `json:"bucket_key"`
	// StorageClass is S3's name of a class whose objects can be read at once; empty: STANDARD.
	StorageClass string `json:"storage_class"`
	// ObjectLock keeps each object for Retention from being changed or deleted: one of Lock…,
	// or empty. The bucket has to have Object Lock.
	ObjectLock string         `json:"object_lock"`
	Retention  units.Duration `json:"retention"`

	// SecurityLake writes rows of OCSF into a custom source of Amazon Security Lake, in
	// place of NDJSON. The stream's format has to be ocsf.
	SecurityLake *SecurityLake `json:"security_lake"`

	MaxBytes  units.Bytes    `json:"max_bytes"`  // of an object's events, uncompressed
	MaxEvents int            `json:"max_events"` // of an object; 0: no limit
	MaxAge    units.Duration `json:"max_age"`    // how long an event may wait for others
	Timeout   units.Duration `json:"timeout"`    // of one request

	Compression string `json:"compression"` // one of Compression…
	GzipLevel   int    `json:"gzip_level"`  // 1 (fast) to 9 (small)
	ZstdLevel   int    `json:"zstd_level"`  // 1 (fast) to 22 (small)
}

// SecurityLake is a custom source of Amazon Security Lake. Such a source takes one class of
// OCSF.
type SecurityLake struct {
	Source    string `json:"source"`     // its name, as it was registered
	AccountID string `json:"account_id"` // that the events are about: 12 digits, or external_ and a name of one's own
	Class     string `json:"class"`      // one of Class…
}

// root is where Security Lake wants the objects of the source.
func (l *SecurityLake) root() string { return "ext/" + l.Source + "/" }

// Defaults are the settings that hold where nothing is written. Objects of 8 MiB or a
// minute are a compromise between requests, which cost money, and freshness.
func Defaults() *Settings {
	return &Settings{
		Guarantee:   ExactlyOnce,
		Checksum:    ChecksumWhenSupported,
		MaxBytes:    8 * units.MiB,
		MaxAge:      units.Duration(time.Minute),
		Timeout:     units.Duration(time.Minute),
		Compression: CompressionGzip,
		GzipLevel:   6,
		ZstdLevel:   3,
	}
}

// Batching is how the events of a lane are cut into objects.
func (s *Settings) Batching() sinks.Batching {
	linger := s.MaxAge.Std()
	if s.SecurityLake != nil {
		linger = max(linger, leastLakeAge)
	}
	return sinks.Batching{MaxBytes: s.MaxBytes.Int(), MaxEvents: s.MaxEvents, Linger: linger, Daily: true}
}

// leastLakeAge is how often Security Lake wants objects at most:
// https://docs.aws.amazon.com/security-lake/latest/userguide/custom-sources.html.
const leastLakeAge = 5 * time.Minute

// CheckFormat implements sinks.Formatted.
func (s *Settings) CheckFormat(format string) error {
	if s.SecurityLake != nil && format != "ocsf" && !strings.HasPrefix(format, "ocsf-") {
		return fmt.Errorf("security_lake takes events in OCSF only: write format: ocsf")
	}
	return nil
}

// Bounds of the settings.
const (
	maxPrefix    = 512
	maxExternal  = 1224 // https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
	minBytes     = units.KiB
	maxBytes     = 256 * units.MiB
	maxLakeBytes = 64 * units.MiB
	maxAge       = 24 * time.Hour
	minTimeout   = time.Second
	maxTimeout   = time.Hour
	maxRetained  = 100 * 365 * 24 * time.Hour // https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock-managing.html
	maxZstd      = 22
	maxKMSKey    = 2048
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
	// A key's id, its ARN, or an alias; KMS knows whether there is one.
	// https://docs.aws.amazon.com/security-lake/latest/APIReference/API_CreateCustomLogSource.html
	sourceForm  = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,20}$`)
	accountForm = regexp.MustCompile(`^([0-9]{12}|external(_[A-Za-z0-9_-]{1,64})?)$`)
	kmsKeyForm  = regexp.MustCompile(`^[A-Za-z0-9:/_-]+$`)
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
	check(s.CAFile == "" || s.Endpoint == "" || strings.HasPrefix(s.Endpoint, "https:"), "ca_file", "endpoint is http, which knows no certificates")
	oneOf(check, "guarantee", s.Guarantee, []string{ExactlyOnce, AtLeastOnce})
	oneOf(check, "checksum", s.Checksum, checksums())
	s.validateKeeping(check)
	if s.SecurityLake != nil {
		s.validateLake(check)
	}
	check(s.MaxBytes >= minBytes && s.MaxBytes <= maxBytes, "max_bytes", "write a size of %v to %v", minBytes, maxBytes)
	check(s.MaxEvents >= 0, "max_events", "write a number, 0 for no limit")
	check(s.MaxAge > 0 && s.MaxAge.Std() <= maxAge, "max_age", "write a duration of up to %v", maxAge)
	oneOf(check, "compression", s.Compression, []string{CompressionGzip, CompressionZstd})
	check(s.ZstdLevel >= 1 && s.ZstdLevel <= maxZstd, "zstd_level", "write a number of 1 to %d", maxZstd)
	check(s.GzipLevel >= 1 && s.GzipLevel <= 9, "gzip_level", "write a number of 1 to 9")
	check(s.Timeout.Std() >= minTimeout && s.Timeout.Std() <= maxTimeout, "timeout", "write a duration of %v to %v", minTimeout, maxTimeout)
	return errors.Join(errs...)
}

// checker notes a violation of field unless ok.
type checker func(ok bool, field, format string, args ...any)

func oneOf(check checker, field, value string, values []string) {
	check(slices.Contains(values, value), field, "%q is unknown; there is: %s", value, strings.Join(values, ", "))
}

func checksums() []string {
	return []string{ChecksumWhenSupported, ChecksumWhenRequired, ChecksumCRC32, ChecksumCRC32C, ChecksumCRC64, ChecksumSHA256}
}

// storageClasses are those whose objects can be read at once. In the others an event would
// be out of reach for hours from its first minute on; lifecycle rules move objects there
// when they are old.
func storageClasses() []string {
	return []string{"STANDARD", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR"}
}

func (s *Settings) validateKeeping(check checker) {
	if s.Encryption != "" {
		oneOf(check, "encryption", s.Encryption, []string{EncryptionS3, EncryptionKMS, EncryptionKMSTwice})
	}
	kms := s.Encryption == EncryptionKMS || s.Encryption == EncryptionKMSTwice
	check(s.KMSKeyID == "" || kms, "kms_key_id", "needs encryption: %s", EncryptionKMS)
	check(s.KMSKeyID == "" || len(s.KMSKeyID) <= maxKMSKey && kmsKeyForm.MatchString(s.KMSKeyID), "kms_key_id", "write the key's ARN, its id or an alias, as in alias/audit")
	check(!s.BucketKey || s.Encryption == EncryptionKMS, "bucket_key", "needs encryption: %s", EncryptionKMS)
	if s.StorageClass != "" {
		oneOf(check, "storage_class", s.StorageClass, storageClasses())
	}
	if s.ObjectLock == "" {
		check(s.Retention == 0, "object_lock", "required beside retention: %s or %s", LockGovernance, LockCompliance)
		return
	}
	oneOf(check, "object_lock", s.ObjectLock, []string{LockGovernance, LockCompliance})
	check(s.Retention.Std() >= day && s.Retention.Std() <= maxRetained, "retention", "write a duration of 1d to 36500d")
}

func (s *Settings) validateLake(check checker) {
	l := s.SecurityLake
	check(sourceForm.MatchString(l.Source), "security_lake.source", "write the name of the custom source, of at most 20 letters, digits and any of _.-")
	check(accountForm.MatchString(l.AccountID), "security_lake.account_id", "write the account id that the events are about, 12 digits in quotes, or external_ and a name")
	oneOf(check, "security_lake.class", l.Class, classNames())
	check(s.Prefix == "", "prefix", "Security Lake decides where objects stand: leave prefix out beside security_lake")
	check(s.Region != "", "region", "required beside security_lake")
	check(s.MaxBytes <= maxLakeBytes, "max_bytes", "write at most %v beside security_lake: an object's rows are in memory while it is made", maxLakeBytes)
}

// day is the unit in which S3 counts what it keeps.
const day = 24 * time.Hour

func (s *Settings) validateCredentials(check checker) {
	hasSecret := !s.SecretAccessKey.IsZero()
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

// Origins implements sinks.Bound. Amazon's own endpoints are those of the region.
func (s *Settings) Origins() []string {
	store := "aws:s3:" + s.region()
	if s.Endpoint != "" {
		store = transport.Origin(s.Endpoint)
	}
	origins := []string{store}
	switch {
	case s.STSEndpoint != "":
		origins = append(origins, transport.Origin(s.STSEndpoint))
	case s.RoleARN != "":
		origins = append(origins, "aws:sts:"+s.region())
	}
	return origins
}

// HostOnly implements sinks.Hosted. Whoever could have events written with the machine's own
// credentials could name any bucket that trusts the machine, also somebody else's.
func (s *Settings) HostOnly() []*sinks.FieldError {
	var errs []*sinks.FieldError
	if s.CAFile != "" {
		errs = append(errs, &sinks.FieldError{Field: "ca_file", Message: "names a file of the machine that delivers, which only a configuration file may: give the store a certificate of a public authority"})
	}
	if s.AccessKeyID == "" && s.RoleARN == "" {
		errs = append(errs, &sinks.FieldError{Field: "role_arn", Message: "is missing: without it, and without access_key_id, the machine's own credentials would be used, which only a configuration file may"})
	}
	return errs
}

// Assumes implements sinks.Assumer.
func (s *Settings) Assumes() (field, value string, needed bool) {
	return "external_id", s.ExternalID, s.RoleARN != ""
}

// Place is where the objects are put: settings that put them elsewhere begin a new chain.
func (s *Settings) Place() string {
	place := []string{s.Endpoint, s.Bucket, s.Prefix}
	if s.Guarantee == AtLeastOnce {
		place = append(place, s.Guarantee)
	}
	if l := s.SecurityLake; l != nil {
		return strings.Join(append(place, l.root(), l.AccountID, l.Class, s.Region), "\n")
	}
	if s.Compression != CompressionGzip {
		place = append(place, s.Compression)
	}
	return strings.Join(place, "\n")
}
