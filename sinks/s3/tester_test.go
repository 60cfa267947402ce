package s3_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/auditstream/auditstream/internal/units"
	"github.com/auditstream/auditstream/sinks"
	"github.com/auditstream/auditstream/sinks/s3"
	"github.com/auditstream/auditstream/sinks/sinktest/s3store"
)

func runTest(t *testing.T, s *s3.Sink) (map[string]sinks.Step, error) {
	t.Helper()
	steps := map[string]sinks.Step{}
	err := s.Test(t.Context(), newBatch(1, 0), func(step sinks.Step) { steps[step.Name] = step })
	return steps, err
}

func TestATestLeavesNothingBehind(t *testing.T) {
	locked := func(s *s3.Settings) { s.ObjectLock, s.Retention = s3.LockCompliance, units.Duration(48*time.Hour) }
	ordinary := func(*s3.Settings) {}
	defaults := s3store.Config{ObjectLock: true, DefaultLock: "COMPLIANCE", DefaultRetention: 24 * time.Hour}
	cases := []struct {
		name    string
		store   s3store.Config
		change  func(*s3.Settings)
		deliver bool // before the test
		leaves  int  // objects that are not of delivery
		says    string
		in      string // step
	}{
		{"in an ordinary bucket", s3store.Config{}, ordinary, false, 0, "created s3://acme-audit/audit/.auditstream-test/", sinks.StepWrite},
		{"where objects are to be retained", s3store.Config{ObjectLock: true}, locked, true, 0, "gone again", "delete"},
		{"where nothing may be deleted, but says what it leaves", s3store.Config{Deny: []string{"s3:DeleteObject"}}, ordinary, false, 1, "by hand", "delete"},
		{"where the bucket locks everything and delivery has begun", defaults, ordinary, true, 0, "nothing was written", sinks.StepWrite},
		{"where the bucket locks everything, and so does not write", defaults, ordinary, false, 0, "not tried", sinks.StepWrite},
		{
			"where the locks cannot be seen",
			s3store.Config{Deny: []string{"s3:GetBucketObjectLockConfiguration"}},
			ordinary, true, 0, "s3:GetBucketObjectLockConfiguration", "lock",
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, c.store)
			s := r.open(t, c.change)
			if c.deliver {
				deliver(t, s, newBatch(20, 10))
			}
			before := len(r.Locked())
			steps, err := runTest(t, s)
			if err != nil {
				t.Fatal(err)
			}
			if got := steps[c.in]; !strings.Contains(got.Detail, c.says) {
				t.Errorf("step %s says %q, want %q; all: %+v", c.in, got.Detail, c.says, steps)
			}
			if n := len(r.Locked()); n != before {
				t.Errorf("%d objects are locked, %d before the test", n, before)
			}
			left := slices.DeleteFunc(r.Objects(bucket, ""), func(o s3store.Object) bool {
				return strings.HasPrefix(o.Key, "audit/stream=") || o.Key == "audit/.auditstream-probe"
			})
			if len(left) != c.leaves {
				t.Errorf("the test leaves %+v", left)
			}
			deliver(t, s, newBatch(40, 35))
		})
	}
}

func TestATestShowsTheRequestWithoutSecrets(t *testing.T) {
	const token = "a-session-token/of/the/role=="
	r, sts := newRig(t, s3store.Config{SessionToken: token}), newSTS(t, token)
	steps, err := runTest(t, r.open(t, func(s *s3.Settings) {
		s.AccessKeyID, s.RoleARN, s.ExternalID, s.STSEndpoint = "AKIABASE", role, "acme-42", sts.URL
		s.Encryption = s3.EncryptionS3
	}))
	if err != nil {
		t.Fatal(err)
	}
	sent := steps[sinks.StepWrite].Sent
	for _, want := range []string{"PUT /acme-audit/audit/.auditstream-test/", "If-None-Match: *", "X-Amz-Server-Side-Encryption: AES256", "Signature=[secret]", "X-Amz-Security-Token: [secret]"} {
		if !strings.Contains(sent, want) {
			t.Errorf("the request does not show %q:\n%s", want, sent)
		}
	}
	for _, never := range []string{token, secretKey, accessKeyID} {
		if strings.Contains(sent, never) || strings.Contains(steps[sinks.StepWrite].Answer, never) {
			t.Errorf("a secret is shown:\n%s", sent)
		}
	}
	if !strings.Contains(steps[sinks.StepWrite].Answer, "200 OK") {
		t.Errorf("the answer is %q", steps[sinks.StepWrite].Answer)
	}
}

func TestATestSaysWhatIsMissing(t *testing.T) {
	for name, c := range map[string]struct {
		store  s3store.Config
		change func(*s3.Settings)
		step   string
		want   string
	}{
		"the bucket":                    {s3store.Config{}, func(s *s3.Settings) { s.Bucket = "other-bucket" }, sinks.StepWrite, "create the bucket"},
		"the permission to write":       {s3store.Config{Deny: []string{"s3:PutObject"}}, func(*s3.Settings) {}, sinks.StepCredentials, "s3:PutObject"},
		"the permission to read":        {s3store.Config{Deny: []string{"s3:GetObject"}}, func(*s3.Settings) {}, sinks.StepAcknowledge, "s3:GetObject"},
		"the permission to use the key": {s3store.Config{Deny: []string{"kms:GenerateDataKey"}}, func(s *s3.Settings) { s.Encryption = s3.EncryptionKMS }, sinks.StepCredentials, "kms:GenerateDataKey"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, c.store)
			steps, err := runTest(t, r.open(t, c.change))
			if sinks.ClassOf(err) != sinks.Misconfigured || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error: %v", err)
			}
			if steps[c.step].Err == nil {
				t.Errorf("the step that fails is not %s: %+v", c.step, steps)
			}
			for _, o := range r.Objects(bucket, "") {
				t.Errorf("the test leaves %s", o.Key)
			}
		})
	}
}

// A lake takes events of one class, and the event of a test is of none: an object without
// rows shows the same.
func TestATestOfALakeWritesATableWithoutRows(t *testing.T) {
	r := newRig(t, s3store.Config{Deny: []string{"s3:DeleteObject"}})
	s := r.open(t, ofLake)
	b := &sinks.Batch{Lane: lane(), Events: []sinks.Entry{{Day: day}}, Next: 1}
	if err := s.Test(t.Context(), b, func(sinks.Step) {}); err != nil {
		t.Fatal(err)
	}
	if left := r.Objects(bucket, "ext/auditstream-auth/.auditstream-test/"); len(left) != 1 || !strings.HasSuffix(left[0].Key, ".parquet") {
		t.Errorf("there are %+v", left)
	}
}
