package doctor

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/auditstream/auditstream/config"
)

// certificate writes a certificate, valid between two times, with its key.
func certificate(t *testing.T, from, until time.Time) *config.ServerTLS {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: from, NotAfter: until}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, kind string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return &config.ServerTLS{CertFile: write("cert.pem", "CERTIFICATE", der), KeyFile: write("key.pem", "PRIVATE KEY", secret)}
}

func TestTheCertificateOfTheAPI(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	day := 24 * time.Hour
	good := certificate(t, now.Add(-day), now.Add(90*day))
	strange := *good
	strange.KeyFile = certificate(t, now.Add(-day), now.Add(90*day)).KeyFile
	nobody := *good
	nobody.ClientCAFile = good.KeyFile
	for name, test := range map[string]struct {
		tls    *config.ServerTLS
		status Status
		found  string
	}{
		"none":                   {nil, "", ""},
		"good":                   {good, "", ", with a certificate until 2027-02-20"},
		"expired":                {certificate(t, now.Add(-9*day), now.Add(-day)), Fail, "has expired on 2026-11-21"},
		"expires soon":           {certificate(t, now.Add(-9*day), now.Add(7*day)), Warn, "expires on 2026-11-29"},
		"not yet valid":          {certificate(t, now.Add(day), now.Add(90*day)), Fail, "is not valid before 2026-11-23"},
		"another's key":          {&strange, Fail, "private key does not match public key"},
		"not there":              {&config.ServerTLS{CertFile: "no-such.pem", KeyFile: "no-such.pem"}, Fail, "no such file"},
		"nobody vouches for any": {&nobody, Fail, "holds no certificate in PEM"},
	} {
		t.Run(name, func(t *testing.T) {
			text, problem := certificateOf(test.tls, now)
			var status Status
			if problem != nil {
				text, status = problem.Found, problem.Status
			}
			if status != test.status || !strings.Contains(text, test.found) {
				t.Errorf("%s: %q; want %s: %q", status, text, test.status, test.found)
			}
		})
	}
}
