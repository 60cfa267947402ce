package integrity

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// Hour is a digest of what a store was given of a feed in one hour, in the manner of
// CloudTrail: which objects, with their sums and their places in the chain, and the digest
// before it. An hour in which nothing was written has one too, so that a digest that is not
// there is missed.
type Hour struct {
	Origin   string    // of the chain
	Hour     time.Time // its begin, in UTC
	Time     time.Time // the digest was made; to the second
	Before   Head      // of the chain, without the objects
	After    Head      // of the chain, with the objects: as Before, if there is none
	Previous Hash      // SHA-256 of the feed's digest before this one, all of its bytes; zero: there is none
	Objects  []Object  // in the order of the chain; what lies between two of them is not in the store
}

// Object is one object of a store: a piece of a chain without gaps.
type Object struct {
	Key    string `json:"key"`
	Size   int64  `json:"size"`   // in bytes, as it is stored
	SHA256 Hash   `json:"sha256"` // of its lines, unpacked; of Parquet of the object as it is stored
	First  int64  `json:"first"`  // number of its first event
	Last   int64  `json:"last"`   // and of its last
	Before Hash   `json:"before"` // of the chain, without its events
	After  Hash   `json:"after"`  // of the chain, with them
	Seen   bool   `json:"seen"`   // the process that signs has written it itself; else it was found in the store
}

// hourTitle is the first line of what is signed: no checkpoint begins so.
const hourTitle = "auditstream/digest"

// Sign is the digest as it is stored: a signed note, an empty line, and one line of JSON
// for each object. The note says how many these are, and their SHA-256:
//
//	auditstream/digest
//	ORIGIN
//	hour YYYY-MM-DDTHH:00:00Z
//	time YYYY-MM-DDTHH:MM:SSZ
//	before SIZE HASH
//	after SIZE HASH
//	objects N HASH
//	previous HASH
//
// A feed's first digest has no line previous.
func (h *Hour) Sign(signers ...note.Signer) ([]byte, error) {
	if err := h.check(); err != nil {
		return nil, err
	}
	var lines bytes.Buffer
	encoder := json.NewEncoder(&lines)
	encoder.SetEscapeHTML(false)
	for i := range h.Objects {
		if err := encoder.Encode(&h.Objects[i]); err != nil {
			return nil, err
		}
	}
	text := fmt.Sprintf("%s\n%s\nhour %s\ntime %s\nbefore %d %s\nafter %d %s\nobjects %d %s\n", hourTitle, h.Origin, stamp(h.Hour), stamp(h.Time),
		h.Before.Size, h.Before.Hash, h.After.Size, h.After.Hash, len(h.Objects), Hash(sha256.Sum256(lines.Bytes())))
	if h.Previous != (Hash{}) {
		text += fmt.Sprintf("previous %s\n", h.Previous)
	}
	signed, err := signNote(text, signers)
	if err != nil {
		return nil, err
	}
	return append(append(signed, '\n'), lines.Bytes()...), nil
}

// OpenHour reads a digest that a key has signed which was in force when it was made; with
// nil keys, whoever has signed it.
func (k *Keys) OpenHour(stored []byte) (*Hour, error) {
	h, err := k.openHour(stored)
	if err != nil {
		return nil, fmt.Errorf("digest: %w", err)
	}
	return h, nil
}

func (k *Keys) openHour(stored []byte) (*Hour, error) {
	// The note ends with its signatures, behind the first empty line, and the next one ends it.
	text := bytes.Index(stored, []byte("\n\n"))
	if text < 0 {
		return nil, errors.New("it is no signed note")
	}
	end := bytes.Index(stored[text+2:], []byte("\n\n"))
	if end < 0 {
		return nil, errors.New("the empty line behind the signatures is missing")
	}
	end += text + 3
	signed, lines := stored[:end], stored[end+1:]
	var n *note.Note
	var err error
	if k == nil {
		if n, err = unverified(signed); err != nil {
			return nil, err
		}
	} else if n, err = k.OpenNote(signed); err != nil {
		return nil, notSigned(err)
	}
	h, objects, sum, err := parseHour(n.Text)
	if err != nil {
		return nil, err
	}
	if k != nil {
		if err := k.InForce(n, h.Time); err != nil {
			return nil, fmt.Errorf("%w: %w", errNotSigned, err)
		}
	}
	if Hash(sha256.Sum256(lines)) != sum {
		return nil, errors.New("the list of objects is not the one that was signed")
	}
	scanner := bufio.NewScanner(bytes.NewReader(lines))
	scanner.Buffer(nil, maxNote)
	for scanner.Scan() {
		var o Object
		decoder := json.NewDecoder(bytes.NewReader(scanner.Bytes()))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&o); err != nil {
			return nil, fmt.Errorf("object %d: %w", len(h.Objects)+1, err)
		}
		h.Objects = append(h.Objects, o)
	}
	if err := scanner.Err(); err != nil {
		return nil, err
	}
	if int64(len(h.Objects)) != objects {
		return nil, fmt.Errorf("it has %d objects and says %d", len(h.Objects), objects)
	}
	return h, h.check()
}

func parseHour(text string) (h *Hour, objects int64, sum Hash, err error) {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if len(lines) != 7 && len(lines) != 8 || lines[0] != hourTitle {
		return nil, 0, sum, errors.New("it has not the lines " + hourTitle + ", origin, hour, time, before, after and objects")
	}
	r := reader{}
	pair := func(name, line string) (int64, Hash) {
		size, hash, _ := strings.Cut(r.word(name, line), " ")
		return r.count(name, size), r.hash(name, hash)
	}
	h = &Hour{Origin: lines[1], Hour: r.time("hour", r.word("hour", lines[2])), Time: r.time("time", r.word("time", lines[3]))}
	h.Before.Size, h.Before.Hash = pair("before", lines[4])
	h.After.Size, h.After.Hash = pair("after", lines[5])
	objects, sum = pair("objects", lines[6])
	if len(lines) == 8 {
		h.Previous = r.hash("previous", r.word("previous", lines[7]))
	}
	return h, objects, sum, r.err
}

// check finds what cannot be true of any hour.
func (h *Hour) check() error {
	if _, err := ParseOrigin(h.Origin); err != nil {
		return err
	}
	if !h.Hour.Equal(h.Hour.Truncate(time.Hour)) {
		return fmt.Errorf("%s is not the begin of an hour", stamp(h.Hour))
	}
	if h.Before.Size > MaxNumber || h.After.Size > MaxNumber {
		return fmt.Errorf("no chain has more than %d events", int64(MaxNumber))
	}
	at := h.Before
	for i, o := range h.Objects {
		// What lies between two objects went to the dead letters, or stands elsewhere.
		joined := o.First == at.Size+1
		if o.Key == "" || o.Size < 0 || o.First <= at.Size || o.Last < o.First || joined && o.Before != at.Hash {
			return fmt.Errorf("object %d (%q) does not go on from the one before it", i+1, o.Key)
		}
		at = Head{o.Last, o.After}
	}
	if at != h.After {
		return errors.New("the chain's head behind the hour is not that of its last object")
	}
	return nil
}
