package doctor

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"time"

	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/internal/units"
)

// expiresSoon is when a certificate is to be renewed, at the latest.
const expiresSoon = 14 * 24 * time.Hour

// listeners looks at how the API is served, if it is: its tokens are among the secrets, which
// are looked at before.
func (e *examiner) listeners() {
	a := e.Config.Config.Admin
	if len(a.Tokens) == 0 {
		e.skipped("admin", "no tokens are configured (admin.tokens): the API is not served from this file")
		return
	}
	roles := map[string]int{}
	confined := 0
	for _, t := range a.Tokens {
		roles[t.Role]++
		if len(t.Organizations) > 0 {
			confined++
		}
	}
	certificate, problem := certificateOf(a.TLS, time.Now())
	who := fmt.Sprintf("%s: %d admin, %d operator, %d viewer, %d confined to organizations", units.Count(len(a.Tokens), "token", "tokens"), roles["admin"], roles["operator"], roles["viewer"], confined)
	switch {
	case problem != nil && problem.Status == Fail:
		e.fail("admin", problem.Do, "admin.tls: %s", problem.Found)
	case problem != nil:
		e.warn("admin", problem.Do, "admin.tls: %s", problem.Found)
	default:
		if a.Insecure {
			certificate = ", in plain HTTP (admin.insecure)"
		}
		if a.Organization == "" {
			certificate += "; what is done to streams of all organizations is in no audit event (admin.organization)"
		}
		e.ok("admin", "%s at %s%s", who, a.Listen, certificate)
	}
}

// certificateOf says until when a server's certificate is valid, or what is wrong with its
// files.
func certificateOf(t *config.ServerTLS, now time.Time) (string, *Finding) {
	if t == nil {
		return "", nil
	}
	pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
	if err != nil {
		return "", &Finding{Status: Fail, Found: err.Error(), Do: "give the certificate with its chain, and its key, in PEM, in files that this user may read"}
	}
	if t.ClientCAFile != "" {
		pem, err := os.ReadFile(t.ClientCAFile)
		if err == nil && !x509.NewCertPool().AppendCertsFromPEM(pem) {
			err = fmt.Errorf("%s: holds no certificate in PEM", t.ClientCAFile)
		}
		if err != nil {
			return "", &Finding{Status: Fail, Found: err.Error(), Do: "give the certificates of who vouches for callers, in PEM"}
		}
	}
	const renew = "renew it: the files are read again, no restart is needed"
	until := pair.Leaf.NotAfter.UTC().Format(time.DateOnly)
	switch {
	case now.After(pair.Leaf.NotAfter):
		return "", &Finding{Status: Fail, Found: fmt.Sprintf("the certificate in %s has expired on %s", t.CertFile, until), Do: renew}
	case now.Before(pair.Leaf.NotBefore):
		return "", &Finding{Status: Fail, Found: fmt.Sprintf("the certificate in %s is not valid before %s", t.CertFile, pair.Leaf.NotBefore.UTC().Format(time.RFC3339)), Do: "see whether the clock of this machine is right"}
	case pair.Leaf.NotAfter.Sub(now) < expiresSoon:
		return "", &Finding{Status: Warn, Found: fmt.Sprintf("the certificate in %s expires on %s", t.CertFile, until), Do: renew}
	}
	return ", with a certificate until " + until, nil
}
