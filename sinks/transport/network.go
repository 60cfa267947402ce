package transport

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"

	"github.com/auditstream/auditstream/internal/egress"
	"github.com/auditstream/auditstream/sinks"
)

// failure puts a request that got no whole answer into plain words. ctx is the caller's,
// without the client's own time-out; secrets are those of the request,
// which no error holds.
func (c *Client) failure(ctx context.Context, err error, secrets masks) *sinks.Error {
	if ctx.Err() != nil {
		return &sinks.Error{Err: fmt.Errorf("the request to %s was given up: %w", c.address, ctx.Err())}
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err // its text would repeat the URL
	}
	class, words := c.words(err, secrets)
	return &sinks.Error{Class: class, Err: errors.New(words)}
}

func (c *Client) words(err error, secrets masks) (sinks.Class, string) {
	if unread, ok := errors.AsType[credentialError](err); ok {
		return sinks.Misconfigured, unread.Error()
	}
	if refused, ok := errors.AsType[*proxyError](err); ok {
		return refused.words(c.address)
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "remote error" && asksForCertificate(op.Err) {
		return sinks.Misconfigured, fmt.Sprintf("%s wants a certificate of ours that it trusts (%v): set client_cert and client_key to one", c.address, op.Err)
	}
	if lost := LostBy(err, Peer{Address: c.address, Service: c.config.Service, Setting: "the url"}); lost.Text != "" {
		if errors.Is(err, context.DeadlineExceeded) {
			lost.Text += fmt.Sprintf(" within %v", c.timeout)
		}
		return lost.Class, lost.Text
	}
	text := secrets.hide(strings.ToValidUTF8(err.Error(), ""))
	return sinks.Unavailable, fmt.Sprintf("the request to %s failed: %.200s", behind(err, c.address), text)
}

// Peer is who a request was for.
type Peer struct {
	Address string
	Service string // what should be listening there
	Setting string // that says where it is
}

// Lost is why a request got no answer, or not a whole one.
type Lost struct {
	Class  sinks.Class
	Text   string // in plain words; empty: the error is none of those that networks make
	Unsent bool   // nothing of the request has left this machine
}

// LostBy sorts the errors that networks make, for every protocol over HTTP alike. What only
// one protocol can tell is up to that: it has to look first.
func LostBy(err error, to Peer) Lost {
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		if dns.IsNotFound {
			return Lost{sinks.Unavailable, fmt.Sprintf("no such host %q: is %s right?", dns.Name, to.Setting), true}
		}
		return Lost{sinks.Unavailable, fmt.Sprintf("the name %q cannot be looked up now", dns.Name), true}
	}
	if refused, ok := errors.AsType[*egress.Error](err); ok {
		return Lost{sinks.Misconfigured, fmt.Sprintf("the address of %s, %v", to.Address, refused), true}
	}
	if why := CertificateProblem(err); why != "" {
		return Lost{sinks.Misconfigured, fmt.Sprintf("the certificate of %s is not trusted: %s", to.Address, why), true}
	}
	if errors.Is(err, http.ErrSchemeMismatch) {
		return Lost{sinks.Misconfigured, fmt.Sprintf("%s speaks plain HTTP: write %s with http, or let %s speak TLS", to.Address, to.Setting, to.Service), true}
	}
	where := behind(err, to.Address)
	lost := Lost{Class: sinks.Unavailable, Unsent: undialled(err)}
	timeout, _ := errors.AsType[net.Error](err)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		lost.Text = fmt.Sprintf("connection refused: is %s listening at %s?", to.Service, where)
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		lost.Text = "connection reset by " + where
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		lost.Text = "no route to " + where
	case errors.Is(err, context.DeadlineExceeded):
		lost.Text = "no answer from " + where
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		lost.Text, lost.Unsent = where+" closed the connection before its answer was complete", false
	case timeout != nil && timeout.Timeout():
		lost.Text = where + " did not answer in time"
	}
	return lost
}

// behind is the address that an error is about: the proxy's, if there was no way past it.
func behind(err error, address string) string {
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "proxyconnect" {
		return "the proxy before " + address
	}
	return address
}

// undialled reports that there never was a connection to send anything over.
func undialled(err error) bool {
	op, _ := errors.AsType[*net.OpError](err)
	if op != nil && op.Op == "proxyconnect" {
		op, _ = errors.AsType[*net.OpError](op.Err)
	}
	return op != nil && op.Op == "dial"
}

// asksForCertificate reports an alert by which a server refuses our own certificate, or that
// there is none. The type of alerts is not exported, their texts are those of RFC 8446.
func asksForCertificate(alert error) bool {
	switch strings.TrimPrefix(alert.Error(), "tls: ") {
	case "handshake failure", // what TLS 1.2 has for no certificate at all
		"certificate required", "bad certificate", "unsupported certificate", "revoked certificate",
		"expired certificate", "unknown certificate", "unknown certificate authority", "access denied":
		return true
	}
	return false
}

// CertificateProblem says what is wrong with a server's certificate for which err refuses the
// connection, and what there is to mend; "" if err is about no certificate.
func CertificateProblem(err error) string {
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "it is signed by an unknown authority: name that authority's certificate in ca_file"
	}
	if e, ok := errors.AsType[x509.HostnameError](err); ok {
		return fmt.Sprintf("it is not for the name %q", e.Host)
	}
	if e, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		if e.Reason == x509.Expired {
			return "it has expired or is not yet valid"
		}
		return "it is not valid for a server"
	}
	if e, ok := errors.AsType[*pinError](err); ok {
		return e.Error()
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "it cannot be verified"
	}
	return ""
}
