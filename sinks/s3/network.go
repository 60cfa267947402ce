package s3

import (
	"crypto/x509"
	"errors"
	"net"
	"net/url"

	"github.com/auditstream/auditstream/sinks"
	"github.com/auditstream/auditstream/sinks/transport"
)

// lostBy reads what the SDK returned. The URL is taken from it for the host's name only.
func lostBy(err error) transport.Lost {
	if c, ok := errors.AsType[*credentialsError](err); ok {
		err = c.err
	}
	to := transport.Peer{Address: "the store", Service: "a store", Setting: "endpoint"}
	if u, ok := errors.AsType[*url.Error](err); ok {
		if at, err := url.Parse(u.URL); err == nil && at.Host != "" {
			to.Address = at.Host
		}
		err = u.Err // its text would repeat the URL
	}
	lost := transport.LostBy(err, to)
	if lost.Text == "" {
		return transport.Lost{Class: sinks.Unavailable, Text: err.Error(), Unsent: lost.Unsent}
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok && dns.IsNotFound {
		lost.Text += " Region and bucket may be part of the name"
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		lost.Text += ": a bucket whose name has dots, or a store of one's own, may need path_style: true"
	}
	return lost
}
