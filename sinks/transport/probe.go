package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/auditstream/auditstream/sinks"
)

// Probe calls deliver once and reports what becomes of the requests that it makes with its
// context: the steps of the network, the credentials, the write. It is how a sink over HTTP
// implements [sinks.Tester]. The requests may be those of a [Client] or of anything else
// over net/http; of the latter it knows no bytes, only the network. A step that was not
// needed, such as TLS for http, is not reported.
func Probe(ctx context.Context, report func(sinks.Step), deliver func(context.Context) error) error {
	p := &probe{begun: time.Now()}
	err := deliver(httptrace.WithClientTrace(context.WithValue(ctx, probeKey{}, p), p.trace()))
	for _, step := range p.finish(err) {
		report(step)
	}
	return err
}

type probeKey struct{}

// probeOf is the probe that watches requests made with ctx, nil if there is none.
func probeOf(ctx context.Context) *probe {
	p, _ := ctx.Value(probeKey{}).(*probe)
	return p
}

// probe collects what a trace tells. Hooks may be called concurrently, and also after
// deliver has returned: by a dial that goes on in the background.
type probe struct {
	begun time.Time

	mu        sync.Mutex
	done      bool                 // guarded by mu: finish was called
	host      string               // guarded by mu: looked up last
	started   map[string]time.Time // guarded by mu: by step and address
	steps     []sinks.Step         // guarded by mu: of the network, in order, those that succeeded
	failed    *sinks.Step          // guarded by mu: the last one of the network that did not
	exchanges []exchange           // guarded by mu
}

// exchange is one request of a Client, and its answer.
type exchange struct {
	sent, answer string
	took         time.Duration
}

func (p *probe) start(what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.started == nil {
		p.started = map[string]time.Time{}
	}
	p.started[what] = time.Now()
}

func (p *probe) end(what string, step sinks.Step) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.done {
		return
	}
	if at, ok := p.started[what]; ok {
		step.Took = time.Since(at)
	}
	reached := slices.ContainsFunc(p.steps, func(s sinks.Step) bool { return s.Name == step.Name })
	switch {
	case step.Err == nil:
		p.failed = nil // a second address was tried, and answers
		p.steps = append(p.steps, step)
	case !reached: // else the slower one of two addresses was given up
		p.failed = &step
	}
}

func (p *probe) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		DNSStart: func(info httptrace.DNSStartInfo) {
			p.start(sinks.StepDNS)
			p.mu.Lock()
			defer p.mu.Unlock()
			p.host = info.Host
		},
		DNSDone: func(info httptrace.DNSDoneInfo) {
			var addresses []string
			for _, a := range info.Addrs {
				addresses = append(addresses, a.String())
			}
			p.mu.Lock()
			detail := p.host + " is " + strings.Join(addresses, ", ")
			p.mu.Unlock()
			p.end(sinks.StepDNS, sinks.Step{Name: sinks.StepDNS, Err: info.Err, Detail: detail})
		},
		ConnectStart: func(_, address string) { p.start(sinks.StepTCP + address) },
		ConnectDone: func(_, address string, err error) {
			p.end(sinks.StepTCP+address, sinks.Step{Name: sinks.StepTCP, Err: err, Detail: "connected to " + address})
		},
		TLSHandshakeStart: func() { p.start(sinks.StepTLS) },
		TLSHandshakeDone: func(state tls.ConnectionState, err error) {
			p.end(sinks.StepTLS, sinks.Step{Name: sinks.StepTLS, Err: err, Detail: certificateOf(state)})
		},
	}
}

// certificateOf says what was agreed upon, and with whom.
func certificateOf(state tls.ConnectionState) string {
	text := tls.VersionName(state.Version)
	if len(state.PeerCertificates) > 0 {
		c := state.PeerCertificates[0]
		text += fmt.Sprintf(", certificate of %q by %q, valid until %s",
			c.Subject.CommonName, c.Issuer.CommonName, c.NotAfter.UTC().Format(time.DateOnly))
	}
	return text
}

// exchanged notes a request of a Client and its answer, both without secrets. Without a
// probe it does nothing.
func (p *probe) exchanged(sent, answer string, took time.Duration) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.exchanges = append(p.exchanges, exchange{sent, answer, took})
}

// finish is what there is to report when deliver has returned err. The network's own words
// for a failure give way to those of err, which say what to mend.
func (p *probe) finish(err error) []sinks.Step {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done = true
	steps := p.steps
	if err != nil && p.failed != nil {
		return append(steps, sinks.Step{Name: p.failed.Name, Err: err, Took: p.failed.Took})
	}
	write := sinks.Step{Name: sinks.StepWrite, Err: err, Took: time.Since(p.begun)}
	if n := len(p.exchanges); n > 0 {
		last := p.exchanges[n-1]
		write.Sent, write.Answer, write.Took = last.sent, last.answer, last.took
	}
	if isAboutCredentials(err) {
		write.Name = sinks.StepCredentials
		return append(steps, write)
	}
	if err == nil {
		steps = append(steps, sinks.Step{Name: sinks.StepCredentials, Detail: "accepted"})
		write.Detail = "the event was taken"
	}
	return append(steps, write)
}

// credentialError says why a credential cannot be read.
type credentialError string

func (e credentialError) Error() string { return string(e) }

// CredentialError is the error of a credential that cannot be read, or is none, for the
// reason err. It does not wrap err: a time-out in its chain would pass for one of the
// caller's context.
func CredentialError(err error) *sinks.Error {
	return &sinks.Error{Class: sinks.Misconfigured, Err: credentialError(err.Error())}
}

// isAboutCredentials reports an error that the credentials caused: they cannot be read, or
// were refused.
func isAboutCredentials(err error) bool {
	e, ok := errors.AsType[*sinks.Error](err)
	_, unread := errors.AsType[credentialError](err)
	return ok && (unread || e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden)
}
