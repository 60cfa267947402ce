package s3

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
)

// keyring provides the credentials that requests are signed with, and knows which texts
// must therefore never be shown.
type keyring struct {
	caches  []*aws.CredentialsCache // the last one's sign; the others feed it
	signers []*signer

	mu      sync.Mutex
	used    []aws.Credentials // the latest in front, at most maxUsed; guarded by mu
	dropped int               // how often cached credentials were; guarded by mu
	renewed bool              // the last time because they had expired, and nothing was accepted since; guarded by mu
}

// maxUsed is how many credentials are kept from being shown: a request may still be
// under way with those before the present ones.
const maxUsed = 4

// expiryWindow is how long before their end temporary credentials are replaced.
const expiryWindow = time.Minute

// roleSession names our sessions in the audit logs of the role's owner.
const roleSession = "auditstream"

// openKeyring takes the credentials of set, or the default chain: environment, shared
// files, web identity, container, machine. Only the credentials are taken from there;
// no endpoint and no retry count of the environment changes what set says.
func openKeyring(set *Settings, client *http.Client, shared *common) (*keyring, error) {
	k := &keyring{}
	var base aws.CredentialsProvider
	if set.AccessKeyID != "" {
		base = aws.CredentialsProviderFunc(func(ctx context.Context) (aws.Credentials, error) {
			value, err := set.SecretAccessKey.Resolve(ctx)
			return aws.Credentials{AccessKeyID: set.AccessKeyID, SecretAccessKey: value, Source: "settings"}, err
		})
	} else {
		var err error
		if base, err = shared.machine(set.region()); err != nil {
			return nil, err
		}
	}
	cached := k.cache(base)
	if set.RoleARN == "" {
		return k, nil
	}
	o := sts.Options{
		Region: set.region(), Credentials: cached, HTTPClient: client, Retryer: aws.NopRetryer{}, HTTPSignerV4: k.newSigner(),
	}
	if set.STSEndpoint != "" {
		o.BaseEndpoint = aws.String(set.STSEndpoint)
	}
	k.cache(stscreds.NewAssumeRoleProvider(sts.New(o), set.RoleARN, func(r *stscreds.AssumeRoleOptions) {
		r.RoleSessionName = roleSession
		if set.ExternalID != "" {
			r.ExternalID = aws.String(set.ExternalID)
		}
	}))
	return k, nil
}

// cache puts a cache before p. The default chain brings one of its own, which would
// otherwise keep what forget is meant to drop.
func (k *keyring) cache(p aws.CredentialsProvider) *aws.CredentialsCache {
	if c, ok := p.(*aws.CredentialsCache); ok {
		k.caches = append(k.caches, c)
	}
	c := aws.NewCredentialsCache(aws.CredentialsProviderFunc(func(ctx context.Context) (aws.Credentials, error) {
		v, err := p.Retrieve(ctx)
		if err != nil {
			return aws.Credentials{}, &credentialsError{err}
		}
		k.remember(v)
		return v, nil
	}), func(o *aws.CredentialsCacheOptions) {
		o.ExpiryWindow = expiryWindow // a request that is signed now arrives in a while
	})
	k.caches = append(k.caches, c)
	return c
}

func (k *keyring) provider() aws.CredentialsProvider { return k.caches[len(k.caches)-1] }

// newSigner is called while the sink is opened only.
func (k *keyring) newSigner(options ...func(*v4.SignerOptions)) *signer {
	s := newSigner(options...)
	k.signers = append(k.signers, s)
	return s
}

// generation tells the credentials of now from those of later.
func (k *keyring) generation() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.dropped
}

// renew is called when the store says that the credentials of a generation have expired.
// It reports whether the next attempt is made with others that may be better: those of a
// session are, once. If these are refused in the same way, whoever gives them out has none.
func (k *keyring) renew(generation int) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case generation < k.dropped: // this request was under way when another one heard it
		return true
	case k.renewed:
		return false
	}
	k.renewed = true
	k.drop()
	return true
}

// accept is called when the store has taken a request with the credentials of a generation.
func (k *keyring) accept(generation int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if generation == k.dropped {
		k.renewed = false
	}
}

// forget drops what is cached, so that the next request reads mended credentials.
func (k *keyring) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.drop()
}

// drop is forget with mu held: who reads the new generation gets no former credentials.
func (k *keyring) drop() {
	k.dropped++
	for _, s := range k.signers {
		s.forget()
	}
	for _, c := range k.caches {
		c.Invalidate()
	}
}

func (k *keyring) remember(v aws.Credentials) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.used = append([]aws.Credentials{v}, k.used...)
	k.used = k.used[:min(len(k.used), maxUsed)]
}

// scrub takes secrets out of a text and shortens access key ids: an answer may repeat
// what was sent.
func (k *keyring) scrub(text string) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, v := range k.used {
		for _, secret := range []string{v.SecretAccessKey, v.SessionToken} {
			if secret != "" {
				text = strings.ReplaceAll(text, secret, "[secret]")
			}
		}
		if v.AccessKeyID != "" {
			text = strings.ReplaceAll(text, v.AccessKeyID, mask(v.AccessKeyID))
		}
	}
	return text
}

// mask keeps what kind of key it is: AKIA and ASIA are the prefixes of long-lived and of
// temporary ones.
func mask(id string) string {
	const shown = 4
	return id[:min(shown, len(id)/2)] + "…"
}

// credentialsError says that there was nothing to sign a request with.
type credentialsError struct{ err error }

func (e *credentialsError) Error() string { return e.err.Error() }
func (e *credentialsError) Unwrap() error { return e.err }

// away: a service that gives credentials could not be reached. The service of an EC2
// machine does not count: on any other machine it can never be reached, and is only
// asked because nothing else was found.
func (e *credentialsError) away() bool {
	if o, ok := errors.AsType[*smithy.OperationError](e.err); ok && o.Service() == "ec2imds" {
		return false
	}
	_, ok := errors.AsType[*url.Error](e.err)
	return ok
}
