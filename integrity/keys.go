package integrity

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// GenerateKey makes a key for checkpoints, which anybody can tell by the name: that of the
// organization that runs delivery, or of its host. Both are in the form of signed notes;
// who has the secret can sign.
func GenerateKey(name string) (secret, public string, err error) {
	if err := checkKeyName(name); err != nil {
		return "", "", err
	}
	return note.GenerateKey(rand.Reader, name)
}

// checkKeyName holds the name to what a note, a URL and a file can all bear.
func checkKeyName(name string) error {
	const may = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/"
	if name == "" || len(name) > 200 || strings.Trim(name, may) != "" {
		return fmt.Errorf("%q cannot name a key: letters, digits and . _ - / can, as in audit.example.com", name)
	}
	return nil
}

// PublicKey is the public key that goes with a secret one.
func PublicKey(secret string) (string, error) {
	// The parser of notes says whether the secret is one; its error never shows it.
	signer, err := note.NewSigner(secret)
	if err != nil {
		return "", fmt.Errorf("this is no key to sign notes with (PRIVATE+KEY+NAME+…): %w", err)
	}
	coded := strings.SplitN(secret, "+", 5)[4] // PRIVATE+KEY+NAME+HASH+KEY, and base64 has plus signs too
	raw, err := base64.StdEncoding.DecodeString(coded)
	if err != nil || len(raw) != 1+ed25519.SeedSize {
		return "", errors.New("this is no Ed25519 key to sign notes with")
	}
	public := ed25519.NewKeyFromSeed(raw[1:])[ed25519.SeedSize:]
	return note.NewEd25519VerifierKey(signer.Name(), ed25519.PublicKey(public))
}

// KeyStatement says that a key signs checkpoints from a time on. It is a note that both
// keys sign: the old one, to hand its trust on, and the new one, to show that there is
// somebody who has it. The first key of all has a statement with no old key, which says
// nothing but that it is used.
type KeyStatement struct {
	New   string    // public key
	Old   string    // public key that New replaces; empty: there was none
	Time  time.Time // from which New signs; to the second
	Until time.Time // until which Old signs too; zero without Old
}

// statementTitle is the first line of a key statement: no origin of a chain is spelled so,
// and no statement can be passed off as a checkpoint.
const statementTitle = "auditstream/keys"

// Text is the statement as it is signed:
//
//	auditstream/keys
//	new KEY
//	time YYYY-MM-DDTHH:MM:SSZ
//	old KEY
//	until YYYY-MM-DDTHH:MM:SSZ
func (s *KeyStatement) Text() string {
	text := fmt.Sprintf("%s\nnew %s\ntime %s\n", statementTitle, s.New, stamp(s.Time))
	if s.Old != "" {
		text += fmt.Sprintf("old %s\nuntil %s\n", s.Old, stamp(s.Until))
	}
	return text
}

// Sign is the statement as a note that the new key has signed, and the old one, if there is
// one; both as secrets.
func (s *KeyStatement) Sign(newKey, oldKey string) ([]byte, error) {
	if _, err := parseStatement(s.Text()); err != nil {
		return nil, err
	}
	var signers []note.Signer
	for _, k := range []struct{ public, secret string }{{s.New, newKey}, {s.Old, oldKey}} {
		if k.public == "" {
			continue
		}
		public, err := PublicKey(k.secret)
		if err != nil {
			return nil, err
		}
		if public != k.public {
			return nil, errors.New("the statement is about another key than the one that should sign it")
		}
		signer, err := note.NewSigner(k.secret)
		if err != nil {
			return nil, err
		}
		signers = append(signers, signer)
	}
	return signNote(s.Text(), signers)
}

// OpenKeyStatement reads a statement and checks that the keys it is about have signed it.
// Whether they are to be trusted is another question: see [Keys.Add].
func OpenKeyStatement(signed []byte) (*KeyStatement, error) {
	_, err := openNote(signed, note.VerifierList())
	var unverified *note.UnverifiedNoteError
	if !errors.As(err, &unverified) {
		return nil, fmt.Errorf("key statement: %w", err)
	}
	s, err := parseStatement(unverified.Note.Text)
	if err != nil {
		return nil, err
	}
	for _, key := range []string{s.New, s.Old} {
		if key == "" {
			continue
		}
		verifier, err := note.NewVerifier(key)
		if err != nil {
			return nil, fmt.Errorf("key statement: %w", err)
		}
		if _, err := openNote(signed, note.VerifierList(verifier)); err != nil {
			return nil, fmt.Errorf("key statement: it is not signed by %s: %w", key, err)
		}
	}
	return s, nil
}

func parseStatement(text string) (*KeyStatement, error) {
	body, ended := strings.CutSuffix(text, "\n")
	lines := strings.Split(body, "\n")
	if !ended || lines[0] != statementTitle || len(lines) != 3 && len(lines) != 5 {
		return nil, errors.New("key statement: it has not the lines " + statementTitle + ", new, time, and old and until where a key is replaced")
	}
	r := reader{}
	s := &KeyStatement{New: r.word("new", lines[1]), Time: r.time("time", r.word("time", lines[2]))}
	if len(lines) == 5 {
		s.Old, s.Until = r.word("old", lines[3]), r.time("until", r.word("until", lines[4]))
	}
	if r.err != nil {
		return nil, fmt.Errorf("key statement: %w", r.err)
	}
	for _, key := range []string{s.New, s.Old} {
		if key == "" {
			continue
		}
		if _, err := note.NewVerifier(key); err != nil {
			return nil, fmt.Errorf("key statement: %q is no public key: %w", key, err)
		}
	}
	switch {
	case s.New == s.Old:
		return nil, errors.New("key statement: it replaces a key by itself")
	case s.Old != "" && s.Until.Before(s.Time):
		return nil, errors.New("key statement: the old key ends before the new one begins")
	}
	return s, nil
}
