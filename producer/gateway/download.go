package gateway

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// Download is a file that can be had now. Close ends it.
type Download struct {
	Name   string // of the file
	Bytes  int64
	SHA256 string // in hex
	Made   time.Time
	// Write writes the file from a byte on. It writes the last byte only when the whole was
	// found to be what Bytes and SHA256 say.
	Write func(ctx context.Context, w io.Writer, from int64) error
	Close func()
}

// download is GET /audit_logs/exports/{id}/download. Nobody needs a key for it: the token is
// leave to have this one file. The length of the file is known before its first byte, so that a
// file which breaks off shows as such to every client.
func (r *request) download() error {
	if err := r.server.begun(); err != nil {
		return err
	}
	id := r.PathValue("id")
	d, err := r.server.cfg.Exports.Open(r.Context(), id, r.URL.Query().Get("token"))
	switch {
	case errors.Is(err, ErrNoExport):
		e := Errorf(http.StatusNotFound, CodeNotFound, "There is no such link, or none any more.")
		e.Remedy = "Ask for the export once more: the answer has a new link."
		return e
	case errors.Is(err, ErrExpired):
		e := Errorf(http.StatusGone, CodeGone, "Kafka does not have the events of this export any more.")
		e.Remedy = "Make a new export, of what there still is."
		return e
	case err != nil:
		return exportError(err)
	}
	defer d.Close()
	h := r.w.Header()
	h.Set("Content-Type", "text/csv; charset=utf-8; header=present")
	h.Set("Content-Disposition", `attachment; filename="`+d.Name+`"`)
	h.Set("ETag", `"`+d.SHA256+`"`)
	if sum, err := hex.DecodeString(d.SHA256); err == nil {
		h.Set("Repr-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(sum)+":")
	}
	// Several ranges at once would have Kafka read once for each; the whole file is an answer
	// to them as well.
	if strings.Contains(r.Header.Get("Range"), ",") {
		r.Header.Del("Range")
	}
	f := &reading{ctx: r.Context(), d: &d}
	http.ServeContent(r.w, r.Request, "", d.Made, f)
	f.Close()
	if f.err != nil && r.Context().Err() == nil {
		// The answer is shorter than it said it would be: the server closes the connection.
		return unavailable(CodeUnavailable, "The file broke off.", fmt.Errorf("export %s: %w", id, f.err))
	}
	return nil
}

// reading is a file as http.ServeContent reads it: where it begins is known only at the first
// read, and from then on it is made and read side by side.
type reading struct {
	ctx  context.Context //nolint:containedctx // an io.Reader has no other way to get it
	d    *Download
	at   int64
	err  error              // why the file broke off
	pipe *io.PipeReader     // nil: nothing is being made
	stop context.CancelFunc // ends what is being made
	done chan struct{}      // closed when it has ended
}

// Seek implements io.Seeker.
func (f *reading) Seek(offset int64, whence int) (int64, error) {
	f.Close()
	switch whence {
	case io.SeekCurrent:
		offset += f.at
	case io.SeekEnd:
		offset += f.d.Bytes
	}
	if offset < 0 {
		return 0, errors.New("before the file's beginning")
	}
	f.at = offset
	return offset, nil
}

// Read implements io.Reader.
func (f *reading) Read(p []byte) (int, error) {
	if f.at >= f.d.Bytes {
		return 0, io.EOF
	}
	if f.pipe == nil {
		f.begin()
	}
	n, err := f.pipe.Read(p)
	f.at += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		f.err = err
	}
	return n, err
}

// begin makes the file from here on.
func (f *reading) begin() {
	from, to := io.Pipe()
	ctx, stop := context.WithCancel(f.ctx)
	done, at := make(chan struct{}), f.at
	f.pipe, f.stop, f.done = from, stop, done
	go func() {
		defer close(done)
		_ = to.CloseWithError(f.d.Write(ctx, to, at)) // never fails
	}()
}

// Close ends what is being made.
func (f *reading) Close() {
	if f.pipe == nil {
		return
	}
	f.stop()
	_ = f.pipe.Close() // never fails
	<-f.done
	f.pipe = nil
}
