package s3

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// signer is the SDK's, which keeps the key that it derives from a secret for the whole
// day by the id of the access key alone: a secret mended under the same id would go on
// failing until midnight. So there is a fresh one whenever credentials are read anew.
type signer struct {
	options []func(*v4.SignerOptions)
	now     atomic.Pointer[v4.Signer]
}

func newSigner(options ...func(*v4.SignerOptions)) *signer {
	s := &signer{options: options}
	s.forget()
	return s
}

func (s *signer) forget() { s.now.Store(v4.NewSigner(s.options...)) }

// SignHTTP implements the SDK's HTTPSignerV4.
func (s *signer) SignHTTP(ctx context.Context, credentials aws.Credentials, r *http.Request, payloadHash, service, region string,
	at time.Time, options ...func(*v4.SignerOptions),
) error {
	return s.now.Load().SignHTTP(ctx, credentials, r, payloadHash, service, region, at, options...)
}
