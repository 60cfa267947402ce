package s3_test

import (
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/auditstream/auditstream/internal/units"
	"github.com/auditstream/auditstream/sinks"
	"github.com/auditstream/auditstream/sinks/s3"
	"github.com/auditstream/auditstream/sinks/sinktest/s3store"
)

func (r *rig) archive(t *testing.T, change ...func(*s3.ArchiveSettings)) *s3.Archive {
	t.Helper()
	of := settings(t, r.url)
	set := s3.ArchiveDefaults()
	set.Bucket, set.Region, set.Endpoint, set.PathStyle = of.Bucket, of.Region, of.Endpoint, of.PathStyle
	set.AccessKeyID, set.SecretAccessKey, set.Prefix = of.AccessKeyID, of.SecretAccessKey, "checkpoints/"
	for _, c := range change {
		c(&set)
	}
	if err := set.Validate(); err != nil {
		t.Fatal(err)
	}
	a, err := s3.OpenArchive(&set, sinks.Options{Log: zap.NewNop(), Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	return a
}

func complianceFor(days int) func(*s3.ArchiveSettings) {
	return func(s *s3.ArchiveSettings) {
		s.ObjectLock, s.Retention = s3.LockCompliance, units.Duration(time.Duration(days)*24*time.Hour)
	}
}

func TestArchiveKeepsATextOnceAndLocksIt(t *testing.T) {
	r := newRig(t, s3store.Config{ObjectLock: true})
	a := r.archive(t, complianceFor(10))
	for range 2 {
		if err := a.Keep(t.Context(), "acme/1.txt", []byte("first")); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Keep(t.Context(), "acme/1.txt", []byte("second")); err != nil {
		t.Fatalf("what is there already is no failure: %v", err)
	}
	o, data, ok := r.Get(bucket, "checkpoints/acme/1.txt")
	if !ok || string(data) != "first" {
		t.Errorf("the archive holds %q, want what was put there first", data)
	}
	if left := time.Until(o.Until); o.Lock != "COMPLIANCE" || left < 9*24*time.Hour || left > 10*24*time.Hour {
		t.Errorf("locked %s until %s, want ten days", o.Lock, o.Until)
	}
	if locked, found, err := a.Locks(t.Context()); !locked || err != nil {
		t.Errorf("Locks = %v, %q, %v", locked, found, err)
	}
}

func TestArchiveSaysWhetherItLocks(t *testing.T) {
	for name, c := range map[string]struct {
		store  s3store.Config
		change func(*s3.ArchiveSettings)
		locked bool
	}{
		"no lock at all":         {s3store.Config{}, func(*s3.ArchiveSettings) {}, false},
		"locks, and no default":  {s3store.Config{ObjectLock: true}, func(*s3.ArchiveSettings) {}, false},
		"it may not be asked":    {s3store.Config{ObjectLock: true, Deny: []string{"s3:GetBucketObjectLockConfiguration"}}, func(*s3.ArchiveSettings) {}, false},
		"each object brings one": {s3store.Config{ObjectLock: true}, complianceFor(1), true},
	} {
		t.Run(name, func(t *testing.T) {
			locked, found, err := newRig(t, c.store).archive(t, c.change).Locks(t.Context())
			if err != nil || locked != c.locked || found == "" {
				t.Errorf("Locks = %v, %q, %v, want %v", locked, found, err, c.locked)
			}
		})
	}
}

func TestArchiveWithoutLocksRefusesWhatHasToBeLocked(t *testing.T) {
	a := newRig(t, s3store.Config{}).archive(t, complianceFor(1))
	if err := a.Keep(t.Context(), "acme/1.txt", []byte("x")); sinks.ClassOf(err) != sinks.Misconfigured {
		t.Errorf("Keep = %v, want a setting to be wrong", err)
	}
	if locked, found, err := a.Locks(t.Context()); locked {
		t.Errorf("Locks = %v, %q, %v: the bucket locks nothing", locked, found, err)
	}
}

func TestArchiveSettings(t *testing.T) {
	none := s3.ArchiveDefaults()
	if err := none.Validate(); err != nil {
		t.Errorf("no archive: %v", err)
	}
	for name, change := range map[string]func(*s3.ArchiveSettings){
		"no bucket": func(s *s3.ArchiveSettings) { s.Region = "eu-central-1" },
		"no region": func(s *s3.ArchiveSettings) { s.Bucket = "acme" },
		"a lock for no time": func(s *s3.ArchiveSettings) {
			s.Bucket, s.Region, s.ObjectLock = "acme", "eu-central-1", s3.LockGovernance
		},
	} {
		set := s3.ArchiveDefaults()
		change(&set)
		if err := set.Validate(); err == nil {
			t.Errorf("%s: there is nothing wrong with it", name)
		}
	}
}
