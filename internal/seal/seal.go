// Package seal keeps secrets of streams unreadable wherever they are written, and says of
// a written spec whether one of us wrote it.
//
// A sealed secret can be opened with the key that sealed it, and in its place alone: of the
// stream with the same uid, under the same JSON pointer, for the same destination. Whoever
// copies it elsewhere, or writes another destination beside it, has nothing. The same keys
// authenticate the records of specs, with another key derived for that.
package seal

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/auditstream/auditstream/internal/secret"
)

// KeySize is the size of a key, in bytes. It is written in base 64.
const KeySize = 32

// KeyConfig says where a key is kept.
type KeyConfig struct {
	ID  string     `json:"id"`
	Key secret.Ref `json:"key"`
}

// keyID stands in everything that was sealed.
var keyID = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)

// CheckID reports an id that no key can have.
func CheckID(id string) error {
	if !keyID.MatchString(id) {
		return errors.New("is not 1 to 32 of the characters a-z, 0-9 and '-', the first being no '-'")
	}
	return nil
}

// NewKey makes a key, as it is to be kept.
func NewKey() string {
	key := make([]byte, KeySize)
	_, _ = rand.Read(key) // never fails: see its documentation
	return base64.StdEncoding.EncodeToString(key)
}

// Ring is the keys of an installation. The nil Ring has none: it seals and signs nothing,
// opens nothing, and asks no record for a signature. It is safe for concurrent use, and shows
// no key however it is printed.
type Ring struct{ keys []key }

// key is what is derived from one key. The key itself is forgotten.
type key struct {
	id   string
	wrap cipher.AEAD // of data keys
	mac  []byte      // of records
}

// What keys are derived for; another word makes another key.
const (
	forWrapping = "auditstream: wrap the keys of sealed secrets, 1"
	forRecords  = "auditstream: authenticate records of streams, 1"
)

// Load reads the keys: the first seals and signs, all open and verify. No keys make the nil
// Ring.
func Load(ctx context.Context, configs []KeyConfig) (*Ring, error) {
	if len(configs) == 0 {
		return nil, nil //nolint:nilnil // see Ring
	}
	r := &Ring{}
	for _, c := range configs {
		text, err := c.Key.Resolve(ctx)
		if err != nil {
			return nil, fmt.Errorf("key %q of secrets: %w", c.ID, err)
		}
		k, err := derive(c.ID, strings.TrimSpace(text))
		if err != nil {
			return nil, fmt.Errorf("key %q of secrets: %w", c.ID, err)
		}
		r.keys = append(r.keys, k)
	}
	return r, nil
}

// derive reads a key. Its errors do not repeat it.
func derive(id, text string) (key, error) {
	if err := CheckID(id); err != nil {
		return key{}, fmt.Errorf("its id %w", err)
	}
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(raw) != KeySize {
		return key{}, fmt.Errorf("is not %d bytes in base 64: make one with auditstream secrets keygen", KeySize)
	}
	wrap, err := hkdf.Key(sha256.New, raw, nil, forWrapping, KeySize)
	if err != nil {
		return key{}, err
	}
	mac, err := hkdf.Key(sha256.New, raw, nil, forRecords, sha256.Size)
	if err != nil {
		return key{}, err
	}
	aead, err := newAEAD(wrap)
	return key{id: id, wrap: aead, mac: mac}, err
}

// newAEAD puts a random nonce in front of what it seals.
func newAEAD(raw []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(raw)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// String names the keys, never what they are.
func (r *Ring) String() string {
	if r == nil {
		return "no keys"
	}
	return "keys " + strings.Join(r.IDs(), ", ")
}

// GoString is what %#v prints.
func (r *Ring) GoString() string { return "seal.Ring{" + r.String() + "}" }

// MarshalJSON names the keys.
func (r *Ring) MarshalJSON() ([]byte, error) { return fmt.Appendf(nil, "%q", r.String()), nil }

// Key is the id of the key that seals and signs, empty without keys.
func (r *Ring) Key() string {
	if r == nil {
		return ""
	}
	return r.keys[0].id
}

// IDs are the ids of all keys, the first one's in front.
func (r *Ring) IDs() []string {
	if r == nil {
		return nil
	}
	var ids []string
	for _, k := range r.keys {
		ids = append(ids, k.id)
	}
	return ids
}

func (r *Ring) find(id string) (key, error) {
	if r != nil {
		if i := slices.IndexFunc(r.keys, func(k key) bool { return k.id == id }); i >= 0 {
			return r.keys[i], nil
		}
	}
	return key{}, &UnknownKeyError{ID: id}
}

// UnknownKeyError says that something was written with a key that is not there.
type UnknownKeyError struct{ ID string }

func (e *UnknownKeyError) Error() string {
	return fmt.Sprintf("its key %q is not among secrets.keys of the configuration", e.ID)
}

// ErrNoKeys is returned by a Ring without keys for what needs one.
var ErrNoKeys = errors.New("there are no keys to seal secrets with: make one with auditstream secrets keygen, and name it in the configuration under secrets.keys")

// Place is where a secret belongs.
type Place struct {
	UID     string   // of the stream
	Pointer string   // JSON pointer in the stream's document
	Origins []string // of the destination: where the secret, or what is made with it, is sent
}

// bound is what a seal is bound to, besides its key.
func (p Place) bound(id string) []byte {
	origins := slices.Sorted(slices.Values(p.Origins))
	return frame(append([]string{"auditstream sealed secret 1", id, p.UID, p.Pointer}, slices.Compact(origins)...)...)
}

// frame joins texts so that no others give the same.
func frame(texts ...string) []byte {
	var out []byte
	for _, t := range texts {
		out = binary.BigEndian.AppendUint32(out, uint32(len(t))) //nolint:gosec // texts are far shorter
		out = append(out, t...)
	}
	return out
}

// version of sealed texts and of signatures.
const version = "1"

// Seal makes a text of a secret that can be opened in its place only: the version, the
// key's id, and in base 64 a data key made for this secret, sealed with the key, and the
// secret, sealed with the data key.
func (r *Ring) Seal(value string, at Place) (string, error) {
	if r == nil {
		return "", ErrNoKeys
	}
	k := r.keys[0]
	data := make([]byte, KeySize)
	_, _ = rand.Read(data) // never fails
	inner, err := newAEAD(data)
	if err != nil {
		return "", err
	}
	bound := at.bound(k.id)
	wrapped := k.wrap.Seal(nil, nil, data, bound)
	return strings.Join([]string{version, k.id, encode(inner.Seal(wrapped, nil, []byte(value), bound))}, "."), nil
}

// wrappedSize is the size of a sealed data key: nonce, key and tag.
const wrappedSize = 12 + KeySize + 16

// ErrMoved says that a sealed secret stands where it was not sealed for, or is damaged.
var ErrMoved = errors.New("the sealed secret is not of this place: it was sealed for another stream, field or destination, or is damaged; enter it again")

// Open returns a secret that was sealed for a place.
func (r *Ring) Open(sealed string, at Place) (string, error) {
	id, body, err := parse(sealed)
	if err != nil {
		return "", err
	}
	k, err := r.find(id)
	if err != nil {
		return "", err
	}
	if len(body) < wrappedSize {
		return "", ErrMoved
	}
	bound := at.bound(id)
	data, err := k.wrap.Open(nil, nil, body[:wrappedSize], bound)
	if err != nil {
		return "", ErrMoved
	}
	inner, err := newAEAD(data)
	if err != nil {
		return "", ErrMoved
	}
	value, err := inner.Open(nil, nil, body[wrappedSize:], bound)
	if err != nil {
		return "", ErrMoved
	}
	return string(value), nil
}

// KeyOf is the id of the key that a text was sealed with.
func KeyOf(sealed string) (string, error) {
	id, _, err := parse(sealed)
	return id, err
}

func parse(sealed string) (id string, body []byte, err error) {
	v, rest, _ := strings.Cut(sealed, ".")
	id, text, ok := strings.Cut(rest, ".")
	if v != version {
		return "", nil, errors.New("the secret was sealed by a newer version of auditstream, or is none")
	}
	body, err = base64.RawURLEncoding.Strict().DecodeString(text)
	if !ok || err != nil || CheckID(id) != nil {
		return "", nil, ErrMoved
	}
	return id, body, nil
}

func encode(data []byte) string { return base64.RawURLEncoding.EncodeToString(data) }

// sum is the signature of a record.
func (k key) sum(serial int64, name, value []byte) []byte {
	h := hmac.New(sha256.New, k.mac)
	h.Write(frame("auditstream record of a stream 1", k.id, fmt.Sprint(serial), string(name), string(value)))
	return h.Sum(nil)
}
