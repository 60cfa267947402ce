package sinks

import (
	"context"
	"net/http"
)

// Previewer is implemented by sinks that send requests whose form their frames alone do not
// show.
type Previewer interface {
	// Preview returns the request that Deliver would make for b. It sends nothing, reads no
	// secret and keeps nothing.
	Preview(ctx context.Context, b *Batch) (*Preview, error)
}

// Preview is a request that was not made.
type Preview struct {
	Method, URL string
	Header      http.Header // secrets masked
	Body        []byte      // before compression
}
