package spool

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"go.uber.org/zap"
)

// RefusedName is the file of events that Kafka refuses for ever, one JSON object a line.
const RefusedName = "refused.ndjson"

// refusal is a line of that file.
type refusal struct {
	At       time.Time       `json:"at"`       // when it was refused
	Accepted time.Time       `json:"accepted"` // when the gateway accepted it
	Reason   string          `json:"reason"`
	Event    json.RawMessage `json:"event"`
}

// refuse puts an event beside the queue, synced, before it leaves the queue.
func (s *Spool) refuse(e queued, reason error) error {
	r := refusal{At: time.Now().UTC(), Accepted: e.at.UTC(), Reason: reason.Error(), Event: e.value}
	line, err := json.Marshal(r)
	if err != nil { // the event is no JSON: it is kept as a string
		if r.Event, err = json.Marshal(string(e.value)); err == nil {
			line, err = json.Marshal(r)
		}
		if err != nil {
			return err
		}
	}
	path := filepath.Join(s.conf.Dir, RefusedName)
	if err := appendLine(path, line); err != nil {
		return fmt.Errorf("%w: %w", ErrDisk, err)
	}
	s.queue.mu.Lock()
	s.queue.bytes += int64(len(line) + 1)
	s.queue.mu.Unlock()
	s.log.Error("Kafka refuses an accepted event for ever: it is kept beside the spool", zap.String("file", path), zap.String("reason", reason.Error()))
	return nil
}

// appendLine appends a line and syncs it. A line that a crash left half written is ended
// first, so that it spoils no other.
func appendLine(path string, line []byte) (err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if end > 0 {
		var last [1]byte
		if _, err := f.ReadAt(last[:], end-1); err != nil {
			return err
		}
		if last[0] != '\n' {
			line = append([]byte{'\n'}, line...)
		}
	}
	if _, err := f.Write(append(line, '\n')); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}
