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
		{"wrong region", s3store.Config{Region: "eu-west-9"}, func(s *s3.Settings) { s.Region = "eu-west-1" }, "correct region"},
		{"another owner", s3store.Config{Owner: "111122223333"}, func(s *s3.Settings) { s.ExpectedBucketOwner = "444455556666" }, "expected_bucket_owner"},
		{"token missing", s3store.Config{SessionToken: "temporary"}, func(*s3.Settings) {}, "InvalidToken"},
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
}

func newSTS(t *testing.T, token string) *fakeSTS {
	t.Helper()
	f := &fakeSTS{}
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
			accessKeyID, secretKey, token, time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
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
		if sinks.ClassOf(err) != sinks.Misconfigured || strings.Contains(err.Error(), token) {
			t.Errorf("error: %v", err)
		}
		r.faults.Program(nil)
		deliver(t, s, newBatch(20, 10))
		if n := sts.calls.Load(); n != 2 {
			t.Errorf("%d calls of STS, want 2", n)
		}
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
