package s3_test

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/auditstream/auditstream/internal/units"
	"github.com/auditstream/auditstream/sinks"
	"github.com/auditstream/auditstream/sinks/s3"
	"github.com/auditstream/auditstream/sinks/sinktest/s3store"
)

// only is the one object of events.
func (r *rig) only(t *testing.T) (s3store.Object, []byte) {
	t.Helper()
	objects := r.Objects(bucket, "audit/stream=")
	if len(objects) != 1 {
		t.Fatalf("%d objects, want one", len(objects))
	}
	o, data, _ := r.Get(bucket, objects[0].Key)
	return o, data
}

func TestObjectsAreKeptAsTheSettingsSay(t *testing.T) {
	locked := s3store.Config{ObjectLock: true, KMSKeys: []string{"alias/audit"}}
	cases := []struct {
		name   string
		store  s3store.Config
		change func(*s3.Settings)
		want   s3store.Object // its fields of this matter
	}{
		{"nothing said", s3store.Config{}, func(*s3.Settings) {}, s3store.Object{Encryption: "AES256", Checksum: "crc32"}},
		{
			"keys of S3",
			s3store.Config{},
			func(s *s3.Settings) { s.Encryption = s3.EncryptionS3 },
			s3store.Object{Encryption: "AES256", Checksum: "crc32"},
		},
		{
			"the account's key of KMS",
			s3store.Config{},
			func(s *s3.Settings) { s.Encryption = s3.EncryptionKMS },
			s3store.Object{Encryption: "aws:kms", Checksum: "crc32"},
		},
		{
			"a key of KMS, and the bucket's below it",
			locked,
			func(s *s3.Settings) { s.Encryption, s.KMSKeyID, s.BucketKey = s3.EncryptionKMS, "alias/audit", true },
			s3store.Object{Encryption: "aws:kms", KMSKey: "alias/audit", BucketKey: true, Checksum: "crc32"},
		},
		{
			"two layers",
			locked,
			func(s *s3.Settings) { s.Encryption, s.KMSKeyID = s3.EncryptionKMSTwice, "alias/audit" },
			s3store.Object{Encryption: "aws:kms:dsse", KMSKey: "alias/audit", Checksum: "crc32"},
		},
		{
			"a class",
			s3store.Config{},
			func(s *s3.Settings) { s.StorageClass = "STANDARD_IA" },
			s3store.Object{Encryption: "AES256", Class: "STANDARD_IA", Checksum: "crc32"},
		},
		{
			"locked",
			locked,
			func(s *s3.Settings) { s.ObjectLock, s.Retention = s3.LockCompliance, units.Duration(30*24*time.Hour) },
			s3store.Object{Encryption: "AES256", Lock: "COMPLIANCE", Checksum: "crc32"},
		},
		{
			"locked, in a store that knows no check sums",
			locked,
			func(s *s3.Settings) {
				s.ObjectLock, s.Retention, s.Checksum = s3.LockGovernance, units.Duration(24*time.Hour), s3.ChecksumWhenRequired
			},
			s3store.Object{Encryption: "AES256", Lock: "GOVERNANCE"},
		},
	}
	for _, checksum := range []string{s3.ChecksumCRC32, s3.ChecksumCRC32C, s3.ChecksumCRC64, s3.ChecksumSHA256} {
		cases = append(cases, cases[0])
		last := &cases[len(cases)-1]
		last.name, last.want.Checksum = checksum, checksum
		last.change = func(s *s3.Settings) { s.Checksum = checksum }
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, c.store)
			retention := time.Duration(0)
			before := time.Now().Add(-time.Second)
			deliver(t, r.open(t, c.change, func(s *s3.Settings) { retention = s.Retention.Std() }), newBatch(20, 10))
			o, _ := r.only(t)
			got := s3store.Object{
				Encryption: o.Encryption, KMSKey: o.KMSKey, BucketKey: o.BucketKey, Class: o.Class, Checksum: o.Checksum, Lock: o.Lock, LegalHold: o.LegalHold,
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("the object (-want +got):\n%s", diff)
			}
			if o.Lock != "" && (o.Until.Before(before.Add(retention)) || o.Until.After(time.Now().Add(retention))) {
				t.Errorf("locked until %v, want %v from now", o.Until, retention)
			}
			for _, locked := range r.Locked() {
				if locked.Key != o.Key {
					t.Errorf("%s is locked as well", locked.Key)
				}
			}
		})
	}
}

func TestObjectsOfZstd(t *testing.T) {
	r := newRig(t, s3store.Config{})
	s := r.open(t, func(set *s3.Settings) { set.Compression = s3.CompressionZstd })
	receipt := deliver(t, s, newBatch(20, 10, 12))
	o, data := r.only(t)
	if !strings.HasSuffix(o.Key, "00000000000000000000.ndjson.zst") || o.ContentType != "application/zstd" || o.Metadata["auditstream-format"] != "2" {
		t.Errorf("the object is %+v", o)
	}
	content := unpack(t, data)
	if want := value(10) + "\n" + value(12) + "\n"; content != want {
		t.Errorf("content %q, want %q", content, want)
	}
	if sum := sha256.Sum256([]byte(content)); o.Metadata["auditstream-sha256"] != hex.EncodeToString(sum[:]) {
		t.Error("the SHA-256 is not that of the content")
	}
	// Another owner finds it, and a sink that packs otherwise has a chain of its own.
	other := r.open(t, func(set *s3.Settings) { set.Compression = s3.CompressionZstd })
	deliver(t, other, with(newBatch(30, 12, 25), func(b *sinks.Batch) { b.Mark = "" }))
	if n := len(r.Objects(bucket, "audit/stream=")); n != 2 {
		t.Errorf("%d objects, want 2", n)
	}
	deliver(t, r.open(t), with(newBatch(30, 25), func(b *sinks.Batch) { b.Mark = receipt.Mark }))
	if chains := r.chainOf(t, today); !slices.Contains(chains, `0-30: {"n":25}`) {
		t.Errorf("the other chain does not begin anew: %q", chains)
	}
}
