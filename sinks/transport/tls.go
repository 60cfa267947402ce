package transport

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/auditstream/auditstream/sinks"
)

// tls is how connections are secured; roots is what CAFile holds.
func (s *Settings) tls(roots []byte) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if s.CAFile != "" {
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(roots) {
			return nil, fmt.Errorf("ca_file: %s holds no certificate in PEM form", s.CAFile)
		}
	}
	if len(s.PinSHA256) > 0 {
		pins := make([][sha256.Size]byte, len(s.PinSHA256))
		for i, text := range s.PinSHA256 {
			var err error
			if pins[i], err = parsePin(text); err != nil {
				return nil, &sinks.FieldError{Field: fmt.Sprintf("pin_sha256[%d]", i), Message: err.Error()}
			}
		}
		// The fingerprint says more than an authority could, and so the only thing that counts:
		// VerifyConnection is called all the same, also for a session that is taken up again.
		c.InsecureSkipVerify = true
		c.VerifyConnection = func(state tls.ConnectionState) error { return checkPin(pins, state) }
	}
	if !s.ClientCert.IsZero() {
		c.GetClientCertificate = s.clientCertificate
	}
	return c, nil
}

// clientCertificate reads our own certificate and its key, anew for every handshake, so that
// renewed ones count without a restart.
func (s *Settings) clientCertificate(info *tls.CertificateRequestInfo) (*tls.Certificate, error) {
	cert, err := s.ClientCert.Resolve(info.Context())
	if err != nil {
		return nil, credentialError("client_cert: " + err.Error())
	}
	key, err := s.ClientKey.Resolve(info.Context())
	if err != nil {
		return nil, credentialError("client_key: " + err.Error())
	}
	pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
	if err != nil {
		// Its own words may repeat what it was given.
		return nil, credentialError("client_cert and client_key are no certificate and its private key in PEM form")
	}
	return &pair, nil
}

// parsePin reads a fingerprint as "openssl x509 -fingerprint -sha256" prints it, or without
// colons.
func parsePin(text string) (pin [sha256.Size]byte, err error) {
	data, err := hex.DecodeString(strings.ReplaceAll(text, ":", ""))
	if err != nil || len(data) != len(pin) {
		return pin, errors.New("is no SHA-256 fingerprint: 64 hexadecimal digits, colons may stand between them")
	}
	copy(pin[:], data)
	return pin, nil
}

// pinError says that a server's certificate is none of those that were pinned.
type pinError struct{ got [sha256.Size]byte }

func (e *pinError) Error() string {
	return fmt.Sprintf("its SHA-256 fingerprint is %x, which is none of pin_sha256", e.got)
}

func checkPin(pins [][sha256.Size]byte, state tls.ConnectionState) error {
	if len(state.PeerCertificates) == 0 {
		return &pinError{}
	}
	got := sha256.Sum256(state.PeerCertificates[0].Raw)
	if !slices.Contains(pins, got) {
		return &pinError{got}
	}
	return nil
}
