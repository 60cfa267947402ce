package access

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"math/big"
	"strings"

	"github.com/auditstream/auditstream/internal/login"
)

// A key of ours is ask_, then 256 random bits in 43 characters, then the CRC-32 (IEEE) of all
// that in 6, both in base 62. The prefix says to people and to scanners for secrets what it
// is, the check sum to all of them that it is one: a key with a slip in it is told from one
// that is not valid, without asking what keys there are.
const (
	keyPrefix   = "ask_"
	keyRandom   = 43
	keyChecksum = 6
	keyLength   = len(keyPrefix) + keyRandom + keyChecksum

	hashPrefix = "sha256:"
)

// base62 are its digits, in the order of their values.
const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// NewKey makes a key.
func NewKey() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the process first
	key := keyPrefix + digits(new(big.Int).SetBytes(b[:]), keyRandom)
	return key + checksum(key)
}

// digits are the last n digits of a number, with zeros before it.
func digits(x *big.Int, n int) string {
	out := make([]byte, n)
	base, digit := big.NewInt(int64(len(base62))), new(big.Int)
	for i := n - 1; i >= 0; i-- {
		x.DivMod(x, base, digit)
		out[i] = base62[digit.Int64()]
	}
	return string(out)
}

func checksum(key string) string {
	return digits(new(big.Int).SetUint64(uint64(crc32.ChecksumIEEE([]byte(key)))), keyChecksum)
}

// checkForm refuses what is meant to be a key of ours and cannot be one. Keys of others, which
// callers may have had before, have any form.
func checkForm(key string) error {
	if !strings.HasPrefix(key, keyPrefix) {
		return nil
	}
	if len(key) != keyLength || checksum(key[:keyLength-keyChecksum]) != key[keyLength-keyChecksum:] {
		return errors.New("it is cut off, or has a slip in it: its check sum does not fit")
	}
	return nil
}

// Check refuses a key that could be guessed, or has a slip in it. The error never holds it.
func Check(key string) error {
	if err := checkForm(key); err != nil {
		return err
	}
	return login.Check(key, "make one with: auditstream gateway keygen")
}

// HashOf is a key's hash, as configurations have it.
func HashOf(key string) string {
	h := login.HashOf(key)
	return hashPrefix + hex.EncodeToString(h[:])
}

// ParseHash reads what HashOf writes.
func ParseHash(text string) (login.Hash, error) {
	var h login.Hash
	digits, ok := strings.CutPrefix(text, hashPrefix)
	if ok && len(digits) == hex.EncodedLen(len(h)) {
		if _, err := hex.Decode(h[:], []byte(digits)); err == nil {
			return h, nil
		}
	}
	return login.Hash{}, fmt.Errorf("is not %s and %d hexadecimal digits, as auditstream gateway keygen prints it", hashPrefix, hex.EncodedLen(len(h)))
}

// parse is the hash of what stands where a key is kept: the key, or its hash.
func parse(text string) (login.Hash, error) {
	if strings.HasPrefix(text, hashPrefix) {
		h, err := ParseHash(text)
		if err != nil {
			return h, fmt.Errorf("it %w", err)
		}
		return h, nil
	}
	return login.HashOf(text), Check(text)
}
