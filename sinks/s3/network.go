package s3

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"syscall"

	"github.com/auditstream/auditstream/internal/egress"
	"github.com/auditstream/auditstream/sinks"
	"github.com/auditstream/auditstream/sinks/transport"
)

// lost is why a request got no answer, or not a whole one.
type lost struct {
	text   string // in plain words
	class  sinks.Class
	unsent bool // nothing of the request has left this machine
}

// lostBy reads what the SDK returned. The URL is taken from it for the host's name only.
func lostBy(err error) lost {
	if c, ok := errors.AsType[*credentialsError](err); ok {
		err = c.err
	}
	host := "the store"
	if u, ok := errors.AsType[*url.Error](err); ok {
		if at, err := url.Parse(u.URL); err == nil && at.Host != "" {
			host = at.Host
		}
		err = u.Err // its text would repeat the URL
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		if dns.IsNotFound {
			return lost{fmt.Sprintf("no such host %q: check endpoint, region and bucket", dns.Name), sinks.Unavailable, true}
		}
		return lost{fmt.Sprintf("the name %q cannot be looked up now", dns.Name), sinks.Unavailable, true}
	}
	if refused, ok := errors.AsType[*egress.Error](err); ok {
		return lost{fmt.Sprintf("the address of %s, %v", host, refused), sinks.Misconfigured, true}
	}
	if why := distrust(err); why != "" {
		return lost{fmt.Sprintf("the certificate of %s is not trusted: %s", host, why), sinks.Misconfigured, true}
	}
	op, _ := errors.AsType[*net.OpError](err)
	if op != nil && op.Op == "proxyconnect" {
		host, err = "the proxy before "+host, op.Err
		op, _ = errors.AsType[*net.OpError](err)
	}
	unsent := op != nil && op.Op == "dial"
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return lost{fmt.Sprintf("connection refused: is a store listening at %s?", host), sinks.Unavailable, unsent}
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return lost{"connection reset by " + host, sinks.Unavailable, unsent}
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return lost{"no route to " + host, sinks.Unavailable, unsent}
	case errors.Is(err, http.ErrSchemeMismatch):
		return lost{host + " speaks plain HTTP: write endpoint with http, or let the store speak TLS", sinks.Misconfigured, true}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return lost{host + " closed the connection before its answer was complete", sinks.Unavailable, false}
	case errors.Is(err, context.DeadlineExceeded):
		return lost{"no answer from " + host, sinks.Unavailable, unsent}
	}
	return lost{err.Error(), sinks.Unavailable, unsent}
}

// distrust says what is wrong with a server's certificate, "" if nothing is.
func distrust(err error) string {
	why := transport.CertificateProblem(err)
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		why += ": a bucket whose name has dots, or a store of one's own, may need path_style: true"
	}
	return why
}
