package transport

import (
	"bytes"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/auditstream/auditstream/sinks"
)

// Answer is what a server answered, whoever it was.
type Answer struct {
	Status     int
	Header     http.Header   // as it came: it may repeat a secret
	Body       []byte        // at most MaxBody bytes, without the secrets of the request
	Over       bool          // the body was longer than that
	HTML       bool          // the body is a page for people: not the service answered
	RetryAfter time.Duration // how long the server asked us to wait, at most MaxRetryAfter; 0 if it did not

	service  string // for messages
	address  string // scheme and host of the request
	redirect string // scheme and host of a redirect's target
}

func newAnswer(service, address string, secrets masks, res *http.Response, body []byte) *Answer {
	a := &Answer{
		Status:     res.StatusCode,
		Header:     res.Header,
		Over:       len(body) > MaxBody,
		RetryAfter: retryAfter(res.Header, time.Now()),
		service:    service,
		address:    address,
	}
	a.Body = []byte(secrets.hide(string(body[:min(len(body), MaxBody)])))
	media, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	a.HTML = media == "text/html" || bytes.HasPrefix(bytes.TrimSpace(a.Body), []byte("<"))
	if to, err := res.Location(); err == nil && res.StatusCode/100 == 3 {
		a.redirect = secrets.hide((&url.URL{Scheme: to.Scheme, Host: to.Host}).String())
	}
	return a
}

// OK reports a status of 2xx. It is not yet a delivery: the kind says which body a
// service that has taken the events answers.
func (a *Answer) OK() bool { return a.Status/100 == 2 }

// Class is what the status alone says about the events.
//
//   - 413 is Rejected: too large as they are.
//   - 408, 425, 429 and 5xx are Unavailable.
//   - Every other 3xx and 4xx is Misconfigured: something in the way, or a setting, has to
//     be changed by people. A kind whose service answers 400 to bad events decides
//     about that itself, by the body.
//   - A 2xx, when the kind does not know the answer as a delivery, is Misconfigured if it
//     is a page of HTML (a login page, a captive portal) and Unavailable otherwise.
func (a *Answer) Class() sinks.Class {
	switch {
	case a.Status == http.StatusRequestEntityTooLarge:
		return sinks.Rejected
	case a.Status == http.StatusRequestTimeout, a.Status == http.StatusTooEarly,
		a.Status == http.StatusTooManyRequests, a.Status >= 500:
		return sinks.Unavailable
	case a.Status >= 300:
		return sinks.Misconfigured
	case a.OK() && a.HTML:
		return sinks.Misconfigured
	}
	return sinks.Unavailable
}

// Refusal is the error for an answer that is no delivery, of class class, in the words of
// format.
func (a *Answer) Refusal(class sinks.Class, format string, args ...any) *sinks.Error {
	return &sinks.Error{
		Class: class, Status: a.Status, Answer: a.excerpt(), RetryAfter: a.RetryAfter,
		Err: fmt.Errorf(format, args...),
	}
}

// Unknown is the error for an answer that the kind cannot read as one of its service:
// its class is that of the status, its words say what that usually means.
func (a *Answer) Unknown() *sinks.Error {
	class := a.Class()
	switch {
	case a.redirect != "":
		return a.Refusal(class, "%s redirects to %s, where no event is sent: is the url that of %s?", a.address, a.redirect, a.service)
	case a.OK() && a.Over:
		return a.Refusal(class, "the answer from %s is larger than %d bytes and cannot be one of %s", a.address, MaxBody, a.service)
	case a.OK() && a.HTML:
		return a.Refusal(class, "%s answers with a page of HTML, nothing was delivered: is the url that of %s, is there a proxy before it?", a.address, a.service)
	case a.OK():
		return a.Refusal(class, "the answer from %s is not one of %s", a.address, a.service)
	case class == sinks.Rejected:
		return a.Refusal(class, "%s refuses the request as too large", a.address)
	case a.Status == http.StatusUnauthorized, a.Status == http.StatusForbidden:
		return a.Refusal(class, "%s refuses the credential", a.address)
	case a.Status == http.StatusProxyAuthRequired:
		return a.Refusal(class, "a proxy before %s wants to be logged in to", a.address)
	case a.Status == http.StatusNotFound, a.Status == http.StatusMethodNotAllowed:
		return a.Refusal(class, "%s does not know the path: is the url that of %s?", a.address, a.service)
	case a.Status == http.StatusTooManyRequests:
		return a.Refusal(class, "%s wants fewer requests", a.address)
	case class == sinks.Unavailable:
		return a.Refusal(class, "%s cannot take events now", a.address)
	}
	return a.Refusal(class, "%s refuses the request", a.address)
}

// excerpt is the beginning of the body, as text.
func (a *Answer) excerpt() string {
	s := string(a.Body[:min(len(a.Body), sinks.MaxAnswer)])
	return strings.TrimSpace(strings.ToValidUTF8(s, ""))
}
