package scs

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/auditstream/auditstream/sinks"
	"github.com/auditstream/auditstream/sinks/transport"
)

// early is how long before its end a token is replaced.
const early = time.Minute

// accessToken is one that the authorization server has given out.
type accessToken struct {
	access  string
	expires time.Time   // zero: it does not say
	served  atomic.Bool // the service has taken events with it
}

// login asks for access tokens with OAuth 2.0 client credentials (RFC 6749, 4.4). Many lanes
// share a token: the first that needs one asks, the others wait for it.
type login struct {
	client *transport.Client
	lock   chan struct{} // holds one element while somebody has the lock; a mutex that a context can end waiting for
	last   *accessToken  // guarded by lock; nil if one has to be asked for
}

func newLogin(s *Settings, o sinks.Options) (*login, error) {
	settings := s.Settings
	settings.Compression = transport.None
	client, err := transport.New(transport.Config{
		Service: "the authorization server of " + service,
		URL:     s.AuthURL,
		Header:  http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Accept": {"application/json"}},
		SecretHeaders: []transport.SecretHeader{{
			Name: "Authorization", Prefix: "Basic ", Value: s.ClientSecret,
			Encode: func(secret string) string {
				// Both parts are encoded first: RFC 6749, 2.3.1.
				pair := url.QueryEscape(s.ClientID) + ":" + url.QueryEscape(secret)
				return base64.StdEncoding.EncodeToString([]byte(pair))
			},
		}},
		Settings: settings,
		Options:  o,
	})
	if err != nil {
		return nil, err
	}
	return &login{client: client, lock: make(chan struct{}, 1)}, nil
}

// token returns a token that is valid as far as we know.
func (l *login) token(ctx context.Context) (*accessToken, error) {
	select {
	case l.lock <- struct{}{}:
	case <-ctx.Done():
		return nil, &sinks.Error{Err: fmt.Errorf("waiting for an access token was given up: %w", ctx.Err())}
	}
	defer func() { <-l.lock }()
	if l.last == nil || !l.last.expires.IsZero() && time.Until(l.last.expires) < early {
		l.last = nil
		token, err := l.ask(ctx)
		if err != nil {
			return nil, err
		}
		l.last = token
	}
	return l.last, nil
}

// forget makes the next attempt ask for a new token, unless somebody has done so already.
func (l *login) forget(token *accessToken) {
	l.lock <- struct{}{} // held for a bounded time: asking ends with its context and time-out
	if l.last == token {
		l.last = nil
	}
	<-l.lock
}

// ask gets a token from the authorization server.
func (l *login) ask(ctx context.Context) (*accessToken, error) {
	a, err := l.client.Post(ctx, []byte("grant_type=client_credentials&scope="))
	if err != nil {
		return nil, err
	}
	var read struct {
		AccessToken string `json:"access_token"`
		ExpiresIn   int64  `json:"expires_in"` // seconds
		Error       string `json:"error"`
	}
	known := !a.Over && json.Unmarshal(a.Body, &read) == nil
	if a.Status == http.StatusOK && known && usable(read.AccessToken) {
		t := &accessToken{access: read.AccessToken}
		if read.ExpiresIn > 0 {
			t.expires = time.Now().Add(time.Duration(min(read.ExpiresIn, 1<<31)) * time.Second)
		}
		return t, nil
	}
	refusal := a.Unknown()
	if a.OK() {
		refusal.Answer = "" // who knows which part of it is a token
	}
	if a.Status == http.StatusBadRequest || a.Status == http.StatusUnauthorized || a.Status == http.StatusForbidden {
		words := transport.CredentialError(fmt.Errorf("the authorization server refuses client_id and client_secret (%.40q)", read.Error))
		refusal.Class, refusal.Err = words.Class, words.Err
	}
	if refusal.Class == sinks.Misconfigured {
		l.client.ForgetCredential()
	}
	return nil, refusal
}

// usable reports a text that can stand in a header.
func usable(token string) bool {
	for i := range len(token) {
		if token[i] < 0x21 || token[i] > 0x7e {
			return false
		}
	}
	return token != ""
}
