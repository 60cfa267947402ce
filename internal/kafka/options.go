package kafka

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"

	"github.com/auditstream/auditstream/internal/kafka/dial"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"
)

// Options are the options of a client that connects as c says; add those of the client's
// own work to them. It fails when c is invalid or a TLS file cannot be read. The SASL
// password is not resolved here but at each authentication.
func (c Config) Options(log *zap.Logger) ([]kgo.Opt, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	d := dial.Config{Brokers: c.Brokers, ClientID: cmp.Or(c.ClientID, defaultClientID), Log: log}
	var err error
	if d.TLS, err = c.TLS.Client(); err != nil {
		return nil, err
	}
	if s := c.SASL; s != nil {
		if d.SASL, err = dial.Mechanism(s.Mechanism, s.Username, s.Password.Resolve); err != nil {
			return nil, &FieldError{"sasl.mechanism", err.Error()}
		}
	}
	return dial.Options(d), nil
}

// Client reads the files of t. A nil t is no TLS: nil.
func (t *TLS) Client() (*tls.Config, error) {
	if t == nil {
		return nil, nil
	}
	// Without a ServerName here the client sets that of the broker it dials.
	conf := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, &FieldError{"tls.ca_file", err.Error()}
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, &FieldError{"tls.ca_file", fmt.Sprintf("%s holds no PEM certificate", t.CAFile)}
		}
	}
	if (t.CertFile == "") != (t.KeyFile == "") {
		return nil, &FieldError{"tls", "cert_file and key_file belong together: give both, or neither"}
	}
	if t.CertFile != "" {
		// Read now for an early error, and again at each handshake: certificates are renewed
		// while processes run.
		load := func() (*tls.Certificate, error) {
			cert, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
			if err != nil {
				return nil, &FieldError{"tls.cert_file", fmt.Sprintf("with key_file: %v", err)}
			}
			return &cert, nil
		}
		if _, err := load(); err != nil {
			return nil, err
		}
		conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return load() }
	}
	return conf, nil
}
