package httpserver

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"sync"
	"time"

	"go.uber.org/zap"
)

// TLS is how a server shows who it is, and whether callers have to.
type TLS struct {
	CertFile, KeyFile string // PEM; the certificate with its chain
	ClientCAFile      string // PEM: who vouches for callers' certificates; empty: callers are asked for none
	ClientOptional    bool   // a caller may come without a certificate
}

// config is for a server that speaks protocols. It is an error when the files cannot be read
// now; later ones that cannot be read leave what was read before.
func (t *TLS) config(protocols []string, log *zap.Logger) (*tls.Config, error) {
	cert := &file[tls.Certificate]{path: t.CertFile, log: log, parse: func() (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		return &pair, err
	}}
	if _, err := cert.get(); err != nil {
		return nil, fmt.Errorf("the certificate cannot be used: %w", err)
	}
	base := &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     protocols,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return cert.get() },
	}
	if t.ClientCAFile == "" {
		return base, nil
	}
	pool := &file[x509.CertPool]{path: t.ClientCAFile, log: log, parse: func() (*x509.CertPool, error) { return readPool(t.ClientCAFile) }}
	if _, err := pool.get(); err != nil {
		return nil, fmt.Errorf("client_ca_file: %w", err)
	}
	base.ClientAuth = tls.RequireAndVerifyClientCert
	if t.ClientOptional {
		base.ClientAuth = tls.VerifyClientCertIfGiven
	}
	// Each connection proves anew who calls, against the authorities as they are then: a
	// ticket would carry over what was found before one of them was taken away.
	base.SessionTicketsDisabled = true
	asked := base.Clone()
	asked.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		now, err := pool.get()
		if err != nil {
			return nil, err
		}
		c := base.Clone()
		c.ClientCAs = now
		return c, nil
	}
	return asked, nil
}

// readPool reads certificates of authorities. A file with anything else than these is a
// mistake: it may be the one with the key.
func readPool(path string) (*x509.CertPool, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("%s has no certificate in PEM", path)
	}
	if bytes.Contains(data, []byte("PRIVATE KEY-----")) {
		return nil, fmt.Errorf("%s has a private key: only certificates of authorities belong there", path)
	}
	return pool, nil
}

// file is one that is read again when it has changed.
type file[T any] struct {
	path  string // whose change is looked for
	parse func() (*T, error)
	log   *zap.Logger

	mu       sync.Mutex
	now      *T        // guarded by mu
	modified time.Time // guarded by mu
	size     int64     // guarded by mu
	said     string    // why it cannot be read; guarded by mu
}

// get is what the file holds. One that cannot be read, because it is just being written,
// leaves the former value: it is tried again with the next connection, and said once.
func (f *file[T]) get() (*T, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	info, err := os.Stat(f.path)
	if err == nil && f.now != nil && info.ModTime().Equal(f.modified) && info.Size() == f.size {
		f.said = ""
		return f.now, nil
	}
	var read *T
	if err == nil {
		read, err = f.parse()
	}
	switch {
	case err == nil:
		if f.now != nil {
			f.log.Info("a file of TLS has changed, and is in force", zap.String("file", f.path))
		}
		f.now, f.modified, f.size, f.said = read, info.ModTime(), info.Size(), ""
	case f.now == nil:
		return nil, err
	case f.said != err.Error():
		f.said = err.Error()
		f.log.Error("a file of TLS cannot be read: what it held before stays in force", zap.String("file", f.path), zap.Error(err))
	}
	return f.now, nil
}
