package s3

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// upload is one object on its way.
type upload struct {
	key         string
	contentType string
	body        []byte
	metadata    map[string]string
	retain      bool // as the settings say; else it can be deleted at once
	overwrite   bool // whatever is there

	answer *awss3.PutObjectOutput // is filled in when the object was created; may be nil
}

// keeping is how S3 is asked to keep objects: what the settings say and no object's own.
type keeping struct {
	owner      *string // expected of the bucket; nil: not checked
	encryption types.ServerSideEncryption
	key        *string // of KMS; nil: that of the account
	bucketKey  *bool
	class      types.StorageClass
	lock       types.ObjectLockMode // empty: not locked
	retention  time.Duration
	checksum   string
}

func keepingOf(set *Settings) keeping {
	k := keeping{class: types.StorageClass(set.StorageClass), checksum: set.Checksum}
	if set.ExpectedBucketOwner != "" {
		k.owner = aws.String(set.ExpectedBucketOwner)
	}
	switch set.Encryption {
	case EncryptionS3:
		k.encryption = types.ServerSideEncryptionAes256
	case EncryptionKMS:
		k.encryption = types.ServerSideEncryptionAwsKms
	case EncryptionKMSTwice:
		k.encryption = types.ServerSideEncryptionAwsKmsDsse
	}
	if set.KMSKeyID != "" {
		k.key = aws.String(set.KMSKeyID)
	}
	if set.BucketKey {
		k.bucketKey = aws.Bool(true)
	}
	switch set.ObjectLock {
	case LockGovernance:
		k.lock = types.ObjectLockModeGovernance
	case LockCompliance:
		k.lock = types.ObjectLockModeCompliance
	}
	k.retention = set.Retention.Std()
	return k
}

// input is the request that puts u, at the time now.
func (k keeping) input(u upload, bucket string, now time.Time) *awss3.PutObjectInput {
	in := &awss3.PutObjectInput{
		Bucket: &bucket, Key: &u.key, ContentLength: aws.Int64(int64(len(u.body))), ContentType: &u.contentType, Metadata: u.metadata,
		ExpectedBucketOwner:  k.owner,
		ServerSideEncryption: k.encryption, SSEKMSKeyId: k.key, BucketKeyEnabled: k.bucketKey,
		StorageClass: k.class,
	}
	if !u.overwrite {
		in.IfNoneMatch = aws.String("*")
	}
	if u.retain && k.lock != "" {
		in.ObjectLockMode = k.lock
		in.ObjectLockRetainUntilDate = aws.Time(now.Add(k.retention).UTC().Truncate(time.Second))
	}
	k.sum(in, u.body)
	return in
}

// sum says what the body is, for the store to compare. The check sum is computed here and
// not by the SDK, which would send it behind the body in a form that many stores refuse.
func (k keeping) sum(in *awss3.PutObjectInput, body []byte) {
	text := func(h hash.Hash) *string {
		h.Write(body)
		return aws.String(base64.StdEncoding.EncodeToString(h.Sum(nil)))
	}
	switch k.checksum {
	case ChecksumWhenSupported, ChecksumCRC32:
		in.ChecksumCRC32 = text(crc32.NewIEEE())
	case ChecksumCRC32C:
		in.ChecksumCRC32C = text(crc32.New(crc32.MakeTable(crc32.Castagnoli)))
	case ChecksumCRC64:
		const nvme = 0x9a6c9329ac4bc9b5 // reversed, as crc64.MakeTable wants it
		in.ChecksumCRC64NVME = text(crc64.New(crc64.MakeTable(nvme)))
	case ChecksumSHA256:
		in.ChecksumSHA256 = text(sha256.New())
	case ChecksumWhenRequired:
		if in.ObjectLockMode != "" { // S3 takes no locked object without one; every store knows this one
			in.ContentMD5 = text(md5.New())
		}
	}
}
