package transport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"time"

	"github.com/auditstream/auditstream/sinks"
)

// Request is one request of a [Client]. The zero value is an empty POST to its URL.
type Request struct {
	Method string      // empty: POST
	URL    string      // in full; empty: the client's
	Header http.Header // over the client's; may be nil
	Parts  [][]byte    // of the body, one after another
	Plain  bool        // the body is sent as it is, even if the client compresses

	// Secrets are texts of Header or Parts that no error and no test shows.
	Secrets []string

	// Sign is called with the header and the body just as they will be sent, and may add to
	// the header. It must not keep the body; may be nil.
	Sign func(h http.Header, parts [][]byte) error
}

// Post sends parts, one after another, as one body to the client's URL; see Do.
func (c *Client) Post(ctx context.Context, parts ...[]byte) (*Answer, error) {
	return c.Do(ctx, Request{Parts: parts})
}

// Do makes one attempt at a request and returns the answer, whatever its status. An error
// is a *sinks.Error: of class Unavailable if the service could not be reached, did not
// answer in time, or broke off, in which case it may have taken everything; of class
// Misconfigured if the credential cannot be read or the server's certificate is not
// trusted. It wraps ctx.Err() if ctx has ended.
func (c *Client) Do(ctx context.Context, r Request) (*Answer, error) {
	if p := previewOf(ctx); p != nil {
		return nil, c.show(ctx, p, r)
	}
	limited, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	keys, err := c.readSecrets(limited)
	if err != nil {
		if ctx.Err() != nil {
			return nil, c.failure(ctx, err, nil)
		}
		return nil, CredentialError(err)
	}

	payload := &payload{parts: r.Parts}
	packs := c.packs != nil && !r.Plain && payload.size() > 0
	if packs {
		packed, err := c.packs.pack(r.Parts)
		if err != nil {
			return nil, &sinks.Error{Err: fmt.Errorf("compress: %w", err)}
		}
		defer c.packs.release(packed)
		payload.parts = [][]byte{packed.Bytes()}
	}
	// The transport may go on reading the body after it has returned an answer that came
	// early. From here on it reads nothing more, and the memory can be used again.
	defer payload.revoke()

	way := route{trusted: c.trusted}
	if c.proxy != nil {
		way.password = keys[len(keys)-1]
	}
	for i, s := range c.secrets {
		if s.Encode != nil {
			keys = append(keys, s.encoded(keys[i]))
		}
	}
	keys = append(keys, r.Secrets...)
	req, err := c.newRequest(context.WithValue(limited, routeKey{}, way), &r, payload, keys, packs)
	if err != nil {
		return nil, err
	}
	begun := time.Now()
	watch := probeOf(ctx)
	var sent string
	if watch != nil {
		sent = written(req, r.Parts, packs, payload.size(), keys)
	}
	res, err := c.http.Do(req)
	if err != nil {
		watch.exchanged(sent, "", time.Since(begun))
		return nil, c.failure(ctx, err, keys)
	}
	defer res.Body.Close() //nolint:errcheck // only read
	body, err := io.ReadAll(io.LimitReader(res.Body, MaxBody+1))
	if err != nil {
		watch.exchanged(sent, res.Status, time.Since(begun))
		err := c.failure(ctx, err, keys)
		err.Status = res.StatusCode
		return nil, err
	}
	answer := newAnswer(c.config.Service, c.address, keys, res, body)
	watch.exchanged(sent, answered(res, answer, keys), time.Since(begun))
	return answer, nil
}

func (c *Client) newRequest(ctx context.Context, r *Request, payload *payload, keys masks, packed bool) (*http.Request, error) {
	method, url := r.Method, r.URL
	if method == "" {
		method = http.MethodPost
	}
	if url == "" {
		url = c.config.URL
	}
	body := io.ReadCloser(http.NoBody)
	if payload.size() > 0 {
		body = payload.open()
	}
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return nil, &sinks.Error{Class: sinks.Misconfigured, Err: errors.New("the url cannot be used for a request")}
	}
	if payload.size() > 0 {
		// With GetBody the transport may use a new connection if the server has closed an
		// idle one before a byte of the request was written on it: that is no second attempt.
		req.GetBody = func() (io.ReadCloser, error) { return payload.open(), nil }
	}
	req.ContentLength = payload.size()
	req.Header.Set("Content-Type", "application/json")
	maps.Copy(req.Header, c.config.Header)
	maps.Copy(req.Header, r.Header)
	req.Header.Set("User-Agent", "auditstream/"+c.config.Options.Version)
	if packed {
		req.Header.Set("Content-Encoding", c.packs.packing.encoding)
	}
	if r.Sign != nil {
		if err := r.Sign(req.Header, payload.parts); err != nil {
			return nil, err
		}
	}
	for i, s := range c.secrets {
		req.Header.Set(s.Name, s.Prefix+s.encoded(keys[i]))
	}
	return req, nil
}

// readSecrets returns the secrets of the header, in the order of c.secrets, and behind
// them the password of the proxy, if there is one.
func (c *Client) readSecrets(ctx context.Context) (masks, error) {
	keys := make(masks, len(c.secrets))
	for i, s := range c.secrets {
		var err error
		if keys[i], err = s.secret.Read(ctx); err != nil {
			return nil, err
		}
	}
	if c.proxy != nil {
		password, err := c.proxy.Read(ctx)
		if err != nil {
			return nil, fmt.Errorf("proxy.password: %w", err)
		}
		keys = append(keys, password)
	}
	return keys, nil
}

// maxShown bounds what a probe keeps of a request, in bytes.
const maxShown = 64 << 10

// written is req as HTTP/1.1 writes it, with the secrets masked and a compressed body shown
// unpacked.
func written(req *http.Request, parts [][]byte, packed bool, size int64, secrets masks) string {
	shown := req.Clone(req.Context())
	shown.Body, shown.GetBody = http.NoBody, nil
	var head bytes.Buffer
	if err := shown.Write(&head); err != nil {
		return ""
	}
	text := bytes.TrimSuffix(head.Bytes(), []byte("\r\n"))
	// The clone without a body is written without its length.
	text = bytes.ReplaceAll(text, []byte("Content-Length: 0\r\n"), nil)
	text = fmt.Appendf(text, "Content-Length: %d\r\n\r\n", size)
	text = append(text, bytes.Join(parts, nil)...)
	if packed {
		text = fmt.Appendf(text, "\n(%d bytes of %s, shown unpacked)", size, req.Header.Get("Content-Encoding"))
	}
	return secrets.hide(string(text[:min(len(text), maxShown)]))
}

// answered is the head of an answer and the beginning of its body, with the secrets
// masked.
func answered(res *http.Response, a *Answer, secrets masks) string {
	var head bytes.Buffer
	fmt.Fprintf(&head, "%s %s\r\n", res.Proto, res.Status)
	_ = res.Header.Write(&head) // a buffer takes all
	text := head.String()
	return secrets.hide(text[:min(len(text), maxShown)]) + "\r\n" + a.excerpt()
}
