package s3

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/auditstream/auditstream/internal/secret"
	"github.com/auditstream/auditstream/internal/units"
	"github.com/auditstream/auditstream/sinks"
)

// ArchiveSettings are those of a bucket into which the operator puts what has to be out of
// a writer's reach: a part of [Settings], which mean the same.
type ArchiveSettings struct {
	Bucket              string         `json:"bucket"` // empty: there is no archive
	Region              string         `json:"region"`
	Prefix              string         `json:"prefix"`
	Endpoint            string         `json:"endpoint"`
	PathStyle           bool           `json:"path_style"`
	CAFile              string         `json:"ca_file"`
	AccessKeyID         string         `json:"access_key_id"`
	SecretAccessKey     secret.Ref     `json:"secret_access_key"`
	RoleARN             string         `json:"role_arn"`
	ExternalID          string         `json:"external_id"`
	STSEndpoint         string         `json:"sts_endpoint"`
	ExpectedBucketOwner string         `json:"expected_bucket_owner"`
	Checksum            string         `json:"checksum"`
	Encryption          string         `json:"encryption"`
	KMSKeyID            string         `json:"kms_key_id"`
	ObjectLock          string         `json:"object_lock"`
	Retention           units.Duration `json:"retention"`
	Timeout             units.Duration `json:"timeout"`
}

// ArchiveDefaults are the settings that hold where nothing is written.
func ArchiveDefaults() ArchiveSettings {
	return ArchiveSettings{Checksum: ChecksumWhenSupported, Timeout: units.Duration(time.Minute)}
}

// Validate reports every violation, joined; each is a *sinks.FieldError.
func (a *ArchiveSettings) Validate() error {
	if a.Bucket == "" {
		if a.Region+a.Prefix+a.Endpoint+a.AccessKeyID+a.RoleARN+a.ObjectLock != "" {
			return &sinks.FieldError{Field: "bucket", Message: "required"}
		}
		return nil
	}
	return a.settings().Validate()
}

func (a *ArchiveSettings) settings() *Settings {
	s := Defaults()
	s.Bucket, s.Region, s.Prefix, s.Endpoint, s.PathStyle, s.CAFile = a.Bucket, a.Region, a.Prefix, a.Endpoint, a.PathStyle, a.CAFile
	s.AccessKeyID, s.SecretAccessKey, s.RoleARN, s.ExternalID, s.STSEndpoint = a.AccessKeyID, a.SecretAccessKey, a.RoleARN, a.ExternalID, a.STSEndpoint
	s.ExpectedBucketOwner, s.Checksum, s.Encryption, s.KMSKeyID = a.ExpectedBucketOwner, a.Checksum, a.Encryption, a.KMSKeyID
	s.ObjectLock, s.Retention, s.Timeout = a.ObjectLock, a.Retention, a.Timeout
	return s
}

// Archive is such a bucket. It is safe for concurrent use.
type Archive struct {
	store  *store
	prefix string
}

// OpenArchive makes an archive of valid settings. It does no network I/O.
func OpenArchive(set *ArchiveSettings, o sinks.Options) (*Archive, error) {
	s := set.settings()
	if err := s.Validate(); err != nil {
		return nil, err
	}
	st, err := openStore(s, o, &common{})
	if err != nil {
		return nil, err
	}
	return &Archive{st, s.Prefix}, nil
}

// Keep puts a text under a key that nothing else has, and returns when it is durable. What
// is there already stays as it is: the key says which text it is, so a text is there once,
// whoever brings it again.
func (a *Archive) Keep(ctx context.Context, key string, text []byte) error {
	_, err := a.store.put(ctx, upload{key: a.prefix + key, contentType: "text/plain; charset=utf-8", body: text, retain: true})
	return err
}

// Locks says in words whether the bucket keeps what is put there from being changed and
// deleted. Where it does not, err is nil and locked is false.
func (a *Archive) Locks(ctx context.Context) (locked bool, found string, err error) {
	lock, err := a.store.locks(ctx)
	switch {
	case err != nil:
		return false, "", err
	case a.store.keeping.lock != "" && lock.none:
		return false, "the bucket has no Object Lock, and so takes no object that is to be locked", nil
	case a.store.keeping.lock != "":
		return true, fmt.Sprintf("each object is locked (%s) for %s", strings.ToLower(string(a.store.keeping.lock)), units.Duration(a.store.keeping.retention)), nil
	case lock.unknown:
		return false, "these credentials may not see whether the bucket locks new objects (s3:GetBucketObjectLockConfiguration)", nil
	case lock.mode != "":
		return true, fmt.Sprintf("the bucket locks every new object (%s for %s)", strings.ToLower(lock.mode), lock.time), nil
	}
	return false, "nothing locks the objects: whoever may write them may delete them", nil
}

// Close frees the connections.
func (a *Archive) Close() error {
	a.store.close()
	return nil
}
