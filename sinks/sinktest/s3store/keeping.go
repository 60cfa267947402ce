package s3store

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"time"
)

// kept is how a request asks for its object to be kept.
type kept struct {
	encryption, kmsKey, class, checksum, lock string
	bucketKey, legalHold                      bool
	until                                     time.Time
}

func (k kept) apply(o *Object) {
	o.Encryption, o.KMSKey, o.BucketKey, o.Class, o.Checksum = k.encryption, k.kmsKey, k.bucketKey, k.class, k.checksum
	o.Lock, o.Until, o.LegalHold = k.lock, k.until, k.legalHold
}

// keeping reads and checks the headers of a PutObject, before its body is read.
func (s *Server) keeping(r *http.Request, bucket, key string) (kept, *failure) {
	h := r.Header
	k := kept{
		encryption: cmp.Or(h.Get("X-Amz-Server-Side-Encryption"), "AES256"),
		kmsKey:     h.Get("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id"),
		bucketKey:  h.Get("X-Amz-Server-Side-Encryption-Bucket-Key-Enabled") == "true",
		class:      h.Get("X-Amz-Storage-Class"),
		checksum:   checksumOf(r),
	}
	if f := s.checkEncryption(k, bucket, key); f != nil {
		return k, f
	}
	if !slices.Contains([]string{"", "STANDARD", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER", "GLACIER_IR", "DEEP_ARCHIVE"}, k.class) {
		return k, badRequest("InvalidStorageClass", "The storage class you specified is not valid")
	}
	f := s.readLock(r, &k, bucket, key)
	return k, f
}

// checksumOf is the algorithm of the check sum that a request brings, empty without one.
func checksumOf(r *http.Request) string {
	for name := range r.Header {
		if a, ok := strings.CutPrefix(strings.ToLower(name), checksumHeader); ok && checksums[a] != nil {
			return a
		}
	}
	return strings.TrimPrefix(strings.ToLower(r.Header.Get("X-Amz-Trailer")), checksumHeader)
}

func (s *Server) checkEncryption(k kept, bucket, key string) *failure {
	switch k.encryption {
	case "AES256":
		if k.kmsKey != "" {
			return badRequest("InvalidArgument", "Server Side Encryption with AWS KMS managed key requires HTTP header x-amz-server-side-encryption : aws:kms")
		}
		return nil
	case "aws:kms", "aws:kms:dsse":
	default:
		return badRequest("InvalidEncryptionAlgorithmError", "The encryption request that you specified is not valid. The valid value is AES256, aws:kms or aws:kms:dsse.")
	}
	if f := s.permit("kms:GenerateDataKey", bucket, key); f != nil {
		return f
	}
	if k.kmsKey != "" && !slices.Contains(s.cfg.KMSKeys, k.kmsKey) {
		return badRequest("KMS.NotFoundException", "Invalid keyId '"+k.kmsKey+"'")
	}
	return nil
}

// readLock is the part about Object Lock.
func (s *Server) readLock(r *http.Request, k *kept, bucket, key string) *failure {
	mode, until := r.Header.Get("X-Amz-Object-Lock-Mode"), r.Header.Get("X-Amz-Object-Lock-Retain-Until-Date")
	k.legalHold = r.Header.Get("X-Amz-Object-Lock-Legal-Hold") == "ON"
	if mode == "" && until == "" && !k.legalHold {
		if s.cfg.ObjectLock && s.cfg.DefaultLock != "" {
			k.lock, k.until = s.cfg.DefaultLock, s.now().Add(s.cfg.DefaultRetention)
		}
		return nil
	}
	if !s.cfg.ObjectLock {
		return badRequest("InvalidRequest", "Bucket is missing Object Lock Configuration")
	}
	if k.checksum == "" && r.Header.Get("Content-Md5") == "" {
		return badRequest("InvalidRequest", "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests with Object Lock parameters")
	}
	if mode == "" && until == "" {
		return nil
	}
	if f := s.permit("s3:PutObjectRetention", bucket, key); f != nil {
		return f
	}
	at, err := time.Parse(time.RFC3339, until)
	switch {
	case mode != "GOVERNANCE" && mode != "COMPLIANCE":
		return badRequest("InvalidArgument", "Unknown wormMode directive.")
	case err != nil:
		return badRequest("InvalidArgument", "The retain until date must be provided in ISO 8601 format")
	case !at.After(s.now()):
		return badRequest("InvalidArgument", "The retain until date must be in the future!")
	}
	k.lock, k.until = mode, at
	return nil
}

// tell writes how o is kept into the headers of an answer. That of a PutObject tells no
// lock and no class.
func (o *Object) tell(h http.Header, whole bool) {
	encryption := cmp.Or(o.Encryption, "AES256") // one of an earlier process may say nothing
	h.Set("X-Amz-Server-Side-Encryption", encryption)
	if encryption != "AES256" {
		h.Set("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id", cmp.Or(o.KMSKey, "arn:aws:kms:us-east-1:000000000000:key/aws-s3"))
	}
	if o.BucketKey {
		h.Set("X-Amz-Server-Side-Encryption-Bucket-Key-Enabled", "true")
	}
	if o.Version != "" {
		h.Set("X-Amz-Version-Id", o.Version)
	}
	if !whole {
		return
	}
	if o.Class != "" && o.Class != "STANDARD" {
		h.Set("X-Amz-Storage-Class", o.Class)
	}
	if o.Lock != "" {
		h.Set("X-Amz-Object-Lock-Mode", o.Lock)
		h.Set("X-Amz-Object-Lock-Retain-Until-Date", o.Until.UTC().Format(time.RFC3339))
	}
	if o.LegalHold {
		h.Set("X-Amz-Object-Lock-Legal-Hold", "ON")
	}
}
