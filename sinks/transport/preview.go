package transport

import (
	"bytes"
	"context"
	"errors"

	"github.com/auditstream/auditstream/sinks"
)

// Concealed stands in a preview where a secret would stand.
const Concealed = "[secret]"

// Preview calls deliver once and returns the first request that it would make with a
// [Client]: it is how a sink over HTTP implements [sinks.Previewer]. Nothing is sent, and no
// secret is read: what deliver does before that request has to ask [Previewing] where it
// would do either.
func Preview(ctx context.Context, deliver func(context.Context) error) (*sinks.Preview, error) {
	p := &preview{}
	err := deliver(context.WithValue(ctx, previewKey{}, p))
	if p.made != nil {
		return p.made, nil
	}
	if err == nil {
		err = errors.New("no request would be made")
	}
	return nil, err
}

// Previewing says whether requests made with ctx are only shown.
func Previewing(ctx context.Context) bool { return previewOf(ctx) != nil }

type previewKey struct{}

type preview struct{ made *sinks.Preview }

func previewOf(ctx context.Context) *preview {
	p, _ := ctx.Value(previewKey{}).(*preview)
	return p
}

// errPreviewed ends a delivery that was only to be shown.
var errPreviewed = &sinks.Error{Err: errors.New("the request was shown, and not made")}

// show keeps r as it would be sent, but for its secrets and its compression.
func (c *Client) show(ctx context.Context, p *preview, r Request) error {
	keys := make(masks, len(c.secrets))
	for i := range keys {
		keys[i] = Concealed
	}
	r.Sign = nil
	req, err := c.newRequest(ctx, &r, &payload{parts: r.Parts}, keys, c.packs != nil && !r.Plain && len(r.Parts) > 0)
	if err != nil {
		return err
	}
	for i, s := range c.secrets {
		req.Header.Set(s.Name, s.Prefix+keys[i]) // also where it would be encoded
	}
	p.made = &sinks.Preview{Method: req.Method, URL: req.URL.String(), Header: req.Header, Body: bytes.Join(r.Parts, nil)}
	return errPreviewed
}
