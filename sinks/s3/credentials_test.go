package s3_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/auditstream/auditstream/internal/secret"
	"github.com/auditstream/auditstream/internal/units"
	"github.com/auditstream/auditstream/sinks"
	"github.com/auditstream/auditstream/sinks/s3"
	"github.com/auditstream/auditstream/sinks/sinktest/faults"
	"github.com/auditstream/auditstream/sinks/sinktest/s3store"
)

func TestMisconfigurationSaysWhatToDo(t *testing.T) {
	cases := []struct {
		name   string
		store  s3store.Config
		change func(*s3.Settings)
		want   string // in the error
	}{
		{"unknown access key", s3store.Config{}, func(s *s3.Settings) { s.AccessKeyID = "AKIAOTHEROTHEROTHER0" }, "InvalidAccessKeyId"},
		{"wrong secret", s3store.Config{}, func(s *s3.Settings) { s.SecretAccessKey = secret.Ref{Exec: []string{"echo", "wrong"}} }, "check access_key_id"},
		{"no secret", s3store.Config{}, func(s *s3.Settings) { s.SecretAccessKey = secret.Ref{File: "/nonexistent/key"} }, "/nonexistent/key"},
		{"no bucket", s3store.Config{}, func(s *s3.Settings) { s.Bucket = "other-bucket" }, "create the bucket"},
		{"wrong region in the signature", s3store.Config{Region: "eu-west-9"}, func(s *s3.Settings) { s.Region = "eu-west-1" }, `in the region "eu-west-9", region says "eu-west-1"`},
		{"a bucket of another region", s3store.Config{Moved: "eu-west-9"}, func(*s3.Settings) {}, `in the region "eu-west-9"`},
		{"not allowed to write", s3store.Config{Deny: []string{"s3:PutObject"}}, func(*s3.Settings) {}, "allow these credentials s3:PutObject"},
		{"not allowed to use the key", s3store.Config{Deny: []string{"kms:GenerateDataKey"}}, func(s *s3.Settings) { s.Encryption = s3.EncryptionKMS }, "allow these credentials kms:GenerateDataKey with the key"},
		{"no such key", s3store.Config{}, func(s *s3.Settings) { s.Encryption, s.KMSKeyID = s3.EncryptionKMS, "alias/none" }, "look at the key of KMS"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, c.store)
			receipt, err := r.open(t, c.change).Deliver(t.Context(), newBatch(20, 10))
			if sinks.ClassOf(err) != sinks.Misconfigured || receipt.Settled != 0 {
				t.Fatalf("%v, settled %d", err, receipt.Settled)
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("%q does not say %q", err, c.want)
			}
			if strings.Contains(err.Error(), secretKey) || strings.Contains(err.Error(), accessKeyID) {
				t.Errorf("the error shows credentials: %v", err)
			}
		})
	}
}

func TestTheRightOwnerIsTaken(t *testing.T) {
	r := newRig(t, s3store.Config{Owner: "111122223333"})
	deliver(t, r.open(t, func(s *s3.Settings) { s.ExpectedBucketOwner = "111122223333" }), newBatch(20, 10))
}

func TestAMendedSecretIsPickedUp(t *testing.T) {
	r := newRig(t, s3store.Config{})
	file := t.TempDir() + "/key"
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("of last year")
	s := r.open(t, func(set *s3.Settings) { set.SecretAccessKey = secret.Ref{File: file} })
	if _, err := s.Deliver(t.Context(), newBatch(20, 10)); sinks.ClassOf(err) != sinks.Misconfigured {
		t.Fatalf("error: %v", err)
	}
	write(secretKey)
	deliver(t, s, newBatch(20, 10))
}

// fakeSTS gives out the store's credentials to whoever assumes the role properly.
type fakeSTS struct {
	*httptest.Server
	calls  atomic.Int64
	status atomic.Int64 // to answer with; 0: the honest answer
	token  atomic.Value // string, of the session that it gives out
}

func newSTS(t *testing.T, token string) *fakeSTS {
	t.Helper()
	f := &fakeSTS{}
	f.token.Store(token)
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.calls.Add(1)
		w.Header().Set("Content-Type", "text/xml")
		if s := int(f.status.Load()); s != 0 {
			w.WriteHeader(s)
			_, _ = fmt.Fprintf(w, `<ErrorResponse><Error><Code>E%d</Code><Message>No %s.</Message></Error></ErrorResponse>`, s, r.Header.Get("Authorization"))
			return
		}
		if err := r.ParseForm(); err != nil {
			t.Error(err)
		}
		if r.Form.Get("RoleArn") != role || r.Form.Get("ExternalId") != "acme-42" || r.Form.Get("RoleSessionName") != "auditstream" ||
			!strings.Contains(r.Header.Get("Authorization"), "Credential=AKIABASE") {
			w.WriteHeader(http.StatusForbidden)
			_, _ = fmt.Fprint(w, `<ErrorResponse><Error><Code>AccessDenied</Code><Message>Not you.</Message></Error></ErrorResponse>`)
			return
		}
		_, _ = fmt.Fprintf(w, `<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>%s</AccessKeyId><SecretAccessKey>%s</SecretAccessKey>`+
			`<SessionToken>%s</SessionToken><Expiration>%s</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>`,
			accessKeyID, secretKey, f.token.Load(), time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	}))
	t.Cleanup(f.Close)
	return f
}

const role = "arn:aws:iam::123456789012:role/auditstream"

func TestRole(t *testing.T) {
	const token = "a-session-token/of/the/role=="
	open := func(t *testing.T, external string) (*rig, *fakeSTS, *s3.Sink) {
		t.Helper()
		r, sts := newRig(t, s3store.Config{SessionToken: token}), newSTS(t, token)
		return r, sts, r.open(t, func(s *s3.Settings) {
			s.AccessKeyID = "AKIABASE"
			s.RoleARN, s.ExternalID, s.STSEndpoint = role, external, sts.URL
		})
	}
	t.Run("is assumed once", func(t *testing.T) {
		_, sts, s := open(t, "acme-42")
		deliver(t, s, newBatch(20, 10))
		deliver(t, s, newBatch(30, 25))
		if n := sts.calls.Load(); n != 1 {
			t.Errorf("%d calls of STS, want 1", n)
		}
	})
	t.Run("is assumed again when its credentials have expired", func(t *testing.T) {
		r, sts, s := open(t, "acme-42")
		r.onPut(&faults.Answer{Status: 400, Body: []byte("<Error><Code>ExpiredToken</Code><Message>" + token + "</Message></Error>")})
		_, err := s.Deliver(t.Context(), newBatch(20, 10))
		if sinks.ClassOf(err) != sinks.Unavailable || strings.Contains(err.Error(), token) {
			t.Errorf("error: %v", err)
		}
		r.faults.Program(nil)
		deliver(t, s, newBatch(20, 10))
		if n := sts.calls.Load(); n != 2 {
			t.Errorf("%d calls of STS, want 2", n)
		}
	})
	t.Run("whose session ends in mid-stream goes on with the next one", func(t *testing.T) {
		r, sts, s := open(t, "acme-42")
		for i := range int64(3) {
			deliver(t, s, newBatch(20*i+20, 20*i+10))
			next := fmt.Sprintf("the-next-session-%d", i)
			r.Rotate(accessKeyID, secretKey, next)
			sts.token.Store(next)
			_, err := s.Deliver(t.Context(), newBatch(20*i+30, 20*i+25))
			if sinks.ClassOf(err) != sinks.Unavailable || !strings.Contains(err.Error(), "fresh") {
				t.Errorf("error: %v", err)
			}
			deliver(t, s, newBatch(20*i+30, 20*i+25))
		}
		if n := sts.calls.Load(); n != 4 {
			t.Errorf("%d calls of STS, want 4", n)
		}
	})
	t.Run("that gives out what has expired is misconfigured", func(t *testing.T) {
		r, sts, s := open(t, "acme-42")
		r.Rotate(accessKeyID, secretKey, "a-session-that-nobody-gives-out")
		for i, want := range []sinks.Class{sinks.Unavailable, sinks.Misconfigured, sinks.Misconfigured} {
			if _, err := s.Deliver(t.Context(), newBatch(20, 10)); sinks.ClassOf(err) != want {
				t.Errorf("attempt %d: %v", i, err)
			}
		}
		sts.token.Store("a-session-that-nobody-gives-out")
		deliver(t, s, newBatch(20, 10))
	})
	t.Run("with a wrong external id is misconfigured", func(t *testing.T) {
		r, _, s := open(t, "acme-43")
		_, err := s.Deliver(t.Context(), newBatch(20, 10))
		if sinks.ClassOf(err) != sinks.Misconfigured || !strings.Contains(err.Error(), "external_id") {
			t.Errorf("error: %v", err)
		}
		if n := len(r.requests()); n != 0 {
			t.Errorf("%d requests to S3", n)
		}
	})
	for name, stop := range map[string]func(*fakeSTS){
		"away":  func(f *fakeSTS) { f.Close() },
		"down":  func(f *fakeSTS) { f.status.Store(503) },
		"tired": func(f *fakeSTS) { f.status.Store(429) },
	} {
		t.Run("while STS is "+name+" is unavailable", func(t *testing.T) {
			_, sts, s := open(t, "acme-42")
			stop(sts)
			_, err := s.Deliver(t.Context(), newBatch(20, 10))
			if sinks.ClassOf(err) != sinks.Unavailable {
				t.Errorf("error: %v", err)
			}
			if strings.Contains(err.Error(), "AKIABASE") {
				t.Errorf("the error shows the access key: %v", err)
			}
		})
	}
}

func TestTheEnvironmentChangesNothingThatTheSettingsSay(t *testing.T) {
	r := newRig(t, s3store.Config{})
	t.Setenv("AWS_ACCESS_KEY_ID", accessKeyID)
	t.Setenv("AWS_SECRET_ACCESS_KEY", secretKey)
	t.Setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
	t.Setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
	t.Setenv("AWS_REGION", "eu-north-7")
	t.Setenv("AWS_MAX_ATTEMPTS", "9")
	s := r.open(t, func(set *s3.Settings) { set.AccessKeyID, set.SecretAccessKey = "", secret.Ref{} })
	deliver(t, s, newBatch(20, 10))
}

// The SDK signs with the store's time once it has heard it, so that a wrong clock holds up
// nothing; it is said all the same, for Kafka and certificates go by it too.
func TestAWrongClockIsWorkedAroundAndSaid(t *testing.T) {
	r := newRig(t, s3store.Config{Skew: 3 * time.Hour})
	s := r.open(t)
	mark := deliver(t, s, newBatch(20, 10)).Mark
	deliver(t, s, with(newBatch(30, 25), func(b *sinks.Batch) { b.Mark = mark }))
	said := r.logs.FilterMessageSnippet("clock").All()
	if len(said) != 1 || said[0].ContextMap()["behind"] == nil {
		t.Errorf("said of the clock: %v", said)
	}
}

func TestABucketWithoutLocksIsNotWrittenToUnlocked(t *testing.T) {
	r := newRig(t, s3store.Config{})
	s := r.open(t, func(set *s3.Settings) {
		set.ObjectLock, set.Retention = s3.LockCompliance, units.Duration(24*time.Hour)
	})
	_, err := s.Deliver(t.Context(), newBatch(20, 10))
	if sinks.ClassOf(err) != sinks.Misconfigured || !strings.Contains(err.Error(), "switch Object Lock on") {
		t.Errorf("error: %v", err)
	}
	if n := r.Len(); n != 0 {
		t.Errorf("%d events are there", n)
	}
}

func TestTheErrorsOfS3HaveTheirClass(t *testing.T) {
	for code, want := range map[string]sinks.Class{
		"SlowDown": sinks.Unavailable, "ServiceUnavailable": sinks.Unavailable, "InternalError": sinks.Unavailable, "RequestTimeout": sinks.Unavailable,
		"ConditionalRequestConflict": sinks.Unavailable, "OperationAborted": sinks.Unavailable, "ThrottlingException": sinks.Unavailable,
		"KMS.DisabledException": sinks.Misconfigured, "KMS.KMSInvalidStateException": sinks.Misconfigured,
	} {
		t.Run(code, func(t *testing.T) {
			r := newRig(t, s3store.Config{})
			s := r.open(t)
			mark := deliver(t, s, newBatch(20, 10)).Mark
			r.Fail(code, 1)
			b := with(newBatch(30, 25), func(b *sinks.Batch) { b.Mark = mark })
			receipt, err := s.Deliver(t.Context(), b)
			if sinks.ClassOf(err) != want || receipt.Settled != 0 || !strings.Contains(err.Error(), code) {
				t.Errorf("%v, settled %d", err, receipt.Settled)
			}
			deliver(t, s, b)
			same(t, "chain", []string{`0-20: {"n":10}`, `20-30: {"n":25}`}, r.chainOf(t, today))
		})
	}
}
