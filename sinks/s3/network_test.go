package s3_test

import (
	"crypto/tls"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/auditstream/auditstream/internal/closedport"
	"github.com/auditstream/auditstream/internal/egress"
	"github.com/auditstream/auditstream/sinks"
	"github.com/auditstream/auditstream/sinks/s3"
	"github.com/auditstream/auditstream/sinks/sinktest/pki"
	"github.com/auditstream/auditstream/sinks/sinktest/s3store"
)

// secure puts TLS before the store, with a certificate that is valid until then.
func (r *rig) secure(t *testing.T, authority *pki.Authority, until time.Time) {
	t.Helper()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.note(req)
		r.faults.ServeHTTP(w, req)
	}))
	server.TLS = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{authority.Server(t, until)}}
	server.Config.ErrorLog = zap.NewStdLog(zap.NewNop()) // it would tell of every handshake that fails
	server.StartTLS()
	t.Cleanup(server.Close)
	r.url = server.URL
}

func TestCertificates(t *testing.T) {
	authority, other := pki.New(t), pki.New(t)
	cases := []struct {
		name   string
		valid  time.Duration
		caFile string
		want   string // in the error; empty: it is trusted
	}{
		{"of the authority in ca_file", time.Hour, authority.File(), ""},
		{"expired", -time.Hour, authority.File(), "it has expired"},
		{"of another authority", time.Hour, other.File(), "unknown authority: name that authority's certificate in ca_file"},
		{"of an authority that the system does not know", time.Hour, "", "ca_file"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, s3store.Config{})
			r.secure(t, authority, time.Now().Add(c.valid))
			receipt, err := r.open(t, func(s *s3.Settings) { s.CAFile = c.caFile }).Deliver(t.Context(), newBatch(20, 10))
			if c.want == "" {
				if err != nil || receipt.Settled != 1 {
					t.Errorf("%v, settled %d", err, receipt.Settled)
				}
				return
			}
			if sinks.ClassOf(err) != sinks.Misconfigured || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error: %v", err)
			}
		})
	}
}

func TestWhatCannotBeReachedIsSaidInPlainWords(t *testing.T) {
	cases := []struct {
		name, endpoint string
		change         func(*s3.Settings)
		class          sinks.Class
		want           string
	}{
		{"nobody listens", "http://" + closedport.Address(t), func(*s3.Settings) {}, sinks.Unavailable, "connection refused: is a store listening at"},
		{"no such host", "http://store.invalid:9000", func(*s3.Settings) {}, sinks.Unavailable, "store.invalid"},
		{"no such host of the bucket's own name", "http://store.invalid:9000", func(s *s3.Settings) { s.PathStyle = false }, sinks.Unavailable, bucket + ".store.invalid"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, s3store.Config{})
			r.url = c.endpoint
			receipt, err := r.open(t, c.change).Deliver(t.Context(), newBatch(20, 10))
			if sinks.ClassOf(err) != c.class || receipt.Settled != 0 || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, settled %d; want %q", err, receipt.Settled, c.want)
			}
		})
	}
}

func TestACAFileThatIsNoneIsAnErrorAtOnce(t *testing.T) {
	set := settings(t, "https://127.0.0.1:1")
	set.CAFile = t.TempDir() + "/none.pem"
	if _, err := s3.Open(set, sinks.Options{Log: zap.NewNop()}); err == nil || !strings.Contains(err.Error(), "ca_file") {
		t.Errorf("error: %v", err)
	}
}

// nobody is a policy that lets nobody go anywhere.
type nobody struct{}

func (nobody) Check(_ string, to netip.Addr) error { return &egress.Error{Addr: to} }

// Sinks of one kind share connections: who may not go to an address does not get there by
// one that another sink has open.
func TestTheOperatorsPolicyIsAskedForEveryStream(t *testing.T) {
	r := newRig(t, s3store.Config{})
	kind, set := s3.Kind(), settings(t, r.url)
	open := func(o sinks.Options) sinks.Sink {
		o.Log, o.Version = zap.NewNop(), "test"
		s, err := kind.Open(set, o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		return s
	}
	if _, err := open(sinks.Options{}).Deliver(t.Context(), newBatch(20, 10)); err != nil {
		t.Fatal(err)
	}
	r.requests()
	_, err := open(sinks.Options{Egress: nobody{}}).Deliver(t.Context(), newBatch(30, 25))
	if _, ok := errors.AsType[*sinks.Error](err); !ok || sinks.ClassOf(err) != sinks.Misconfigured || !strings.Contains(err.Error(), "delivery.egress.allow") {
		t.Errorf("error: %v", err)
	}
	same(t, "requests", nil, r.requests())
}
