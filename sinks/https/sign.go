package https

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/auditstream/auditstream/internal/secret"
	"github.com/auditstream/auditstream/sinks"
	"github.com/auditstream/auditstream/sinks/transport"
)

// Headers of the Standard Webhooks specification.
const (
	headerID        = "Webhook-Id"
	headerTimestamp = "Webhook-Timestamp"
	headerSignature = "Webhook-Signature"
)

// Bounds of a signing secret, from the specification, in bytes once it is decoded.
const (
	minKey = 24
	maxKey = 64
)

// batchID names b, and no other batch: the same events of the same lane, sent again after an
// answer that was lost, have the same id, so that a receiver can tell.
func batchID(b *sinks.Batch, replay string) string {
	h := sha256.New()
	l := b.Lane
	for _, text := range []string{l.Cluster, l.TopicID, l.UID, replay} {
		number(h, int64(len(text)))
		h.Write([]byte(text))
	}
	first, last := b.Events[0].Offset, b.Events[len(b.Events)-1].Offset
	for _, n := range []int64{l.Epoch, l.Revision, int64(l.Partition), first, last, int64(len(b.Events))} {
		number(h, n)
	}
	return "msg_" + base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:18])
}

// checkpointID names a checkpoint: the same one, sent again, has the same id.
func checkpointID(signed []byte) string {
	sum := sha256.Sum256(signed)
	return "msg_" + base64.RawURLEncoding.EncodeToString(sum[:18])
}

func number(h hash.Hash, n int64) {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(n))
	h.Write(b[:])
}

// signer holds the secrets that requests are signed with: several during a rotation.
type signer struct {
	refs    []secret.Ref
	secrets []*transport.Secret
}

func newSigner(refs []secret.Ref) *signer {
	if len(refs) == 0 {
		return nil
	}
	s := &signer{refs: refs}
	for _, ref := range refs {
		s.secrets = append(s.secrets, transport.NewSecret(ref))
	}
	return s
}

func (s *signer) forget() {
	if s == nil {
		return
	}
	for _, secret := range s.secrets {
		secret.Forget()
	}
}

// keys are what signatures are made with, in the order of the settings.
type keys [][]byte

func (s *signer) read(ctx context.Context) (keys, error) {
	list := make(keys, len(s.secrets))
	for i, secret := range s.secrets {
		text, err := secret.Read(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return nil, &sinks.Error{Err: fmt.Errorf("a signing secret could not be read in time: %w", ctx.Err())}
			}
			return nil, transport.CredentialError(err)
		}
		if list[i], err = decodeKey(text); err != nil {
			s.forget()
			return nil, transport.CredentialError(fmt.Errorf("secret %v: %w", s.refs[i], err))
		}
	}
	return list, nil
}

// decodeKey reads a secret as Standard Webhooks write it. Its errors do not repeat it.
func decodeKey(text string) ([]byte, error) {
	text = strings.TrimPrefix(text, "whsec_")
	key, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("is no signing secret: write whsec_ and %d to %d bytes in base64", minKey, maxKey)
	}
	if len(key) < minKey || len(key) > maxKey {
		return nil, fmt.Errorf("is a signing secret of %d bytes, not of %d to %d", len(key), minKey, maxKey)
	}
	return key, nil
}

// sign is a transport.Request's Sign. What is signed is the body as it is sent: compressed,
// if it is, so that a receiver unpacks nothing that a stranger sent.
func (k keys) sign(h http.Header, parts [][]byte) error {
	at := strconv.FormatInt(time.Now().Unix(), 10)
	signatures := make([]string, len(k))
	for i, key := range k {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(h.Get(headerID) + "." + at + "."))
		for _, part := range parts {
			mac.Write(part)
		}
		signatures[i] = "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}
	h.Set(headerTimestamp, at)
	h.Set(headerSignature, strings.Join(signatures, " "))
	if h.Get(headerFeed) != "" {
		h.Set(headerOwnProof, k.signPlace(h, at))
	}
	return nil
}

// signPlace signs the headers that say where the events stand in their feed. Standard
// Webhooks' signature is of the body alone.
func (k keys) signPlace(h http.Header, at string) string {
	signatures := make([]string, len(k))
	for i, key := range k {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(h.Get(headerID) + "." + at))
		for _, name := range placeHeaders() {
			mac.Write([]byte("\n" + h.Get(name)))
		}
		if feed := h.Get(headerOriginalFeed); feed != "" {
			mac.Write([]byte("\n" + feed + "\n" + h.Get(headerOriginal)))
		}
		signatures[i] = "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}
	return strings.Join(signatures, " ")
}
