package workos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// DefaultURL is where WorkOS's API is.
const DefaultURL = "https://api.workos.com"

// Horizon is how far back the Events API goes.
const Horizon = 30 * 24 * time.Hour

const (
	// pageLimit is the most Events that the API gives in one answer.
	pageLimit = 100
	// maxPage bounds an answer, in bytes. A larger one is asked for in smaller pages.
	maxPage = 32 << 20
	// requestTimeout bounds one request.
	requestTimeout = 30 * time.Second
	// maxRetryAfter bounds what an answer may make us wait.
	maxRetryAfter = time.Hour
	// maxMessage bounds what is kept of an answer that is an error, in bytes.
	maxMessage = 512
)

// errPageTooLarge says that an answer has more bytes than maxPage.
var errPageTooLarge = errors.New("the answer is too large")

// statusError is an answer other than 200.
type statusError struct {
	status     int
	message    string        // WorkOS's, cut
	retryAfter time.Duration // 0: it does not say
}

func (e *statusError) Error() string {
	text := "WorkOS answers " + strconv.Itoa(e.status)
	if e.message != "" {
		text += ": " + e.message
	}
	return text
}

// invalid says whether the API key is what is wrong.
func (e *statusError) invalid() bool {
	return e.status == http.StatusUnauthorized || e.status == http.StatusForbidden
}

// refused says whether the request itself is wrong: the same again is answered the same.
func (e *statusError) refused() bool {
	return e.status >= 400 && e.status < 500 && !e.invalid() && e.status != http.StatusRequestTimeout && e.status != http.StatusTooManyRequests
}

// page is one answer of the API.
type page struct {
	events []listed
	more   bool
	last   string // what the next page comes after
}

// listed is one Event of a page.
type listed struct {
	raw     json.RawMessage
	id      string    // empty: it has none
	created time.Time // zero: it does not say
}

// eventsAPI asks for pages.
type eventsAPI struct {
	client *http.Client
	url    string
	key    func(context.Context) (string, error)
	events []string // the types that are asked for: the API wants them named
	limit  int
}

// list asks for what comes after an Event; without one, for what is from start on. The API
// takes one of the two.
func (a *eventsAPI) list(ctx context.Context, after string, start time.Time) (page, error) {
	q := url.Values{"events[]": a.events, "limit": {strconv.Itoa(a.limit)}, "order": {"asc"}}
	if after != "" {
		q.Set("after", after)
	} else {
		q.Set("range_start", start.UTC().Format("2006-01-02T15:04:05.000Z"))
	}
	key, err := a.key(ctx)
	if err != nil {
		return page{}, &keyError{err}
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(a.url, "/")+"/events?"+q.Encode(), nil)
	if err != nil {
		return page{}, err
	}
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Accept", "application/json")
	resp, err := a.client.Do(req)
	if err != nil {
		// Without the URL around it, which is long.
		if outer, ok := errors.AsType[*url.Error](err); ok {
			err = outer.Err
		}
		return page{}, fmt.Errorf("ask %s: %w", a.url, err)
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	if resp.StatusCode != http.StatusOK {
		return page{}, refusedBy(resp, time.Now())
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxPage+1))
	if err != nil {
		return page{}, fmt.Errorf("read the answer of %s: %w", a.url, err)
	}
	if len(body) > maxPage {
		return page{}, errPageTooLarge
	}
	return readPage(body)
}

// keyError says that the API key cannot be read.
type keyError struct{ err error }

func (e *keyError) Error() string { return "the API key cannot be read: " + e.err.Error() }

func (e *keyError) Unwrap() error { return e.err }

func refusedBy(resp *http.Response, now time.Time) error {
	e := &statusError{status: resp.StatusCode, retryAfter: retryAfter(resp.Header, now)}
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10)) // what cannot be read is not told
	var said struct {
		Message string          `json:"message"`
		Errors  json.RawMessage `json:"errors"`
	}
	if json.Unmarshal(body, &said) == nil {
		e.message = strings.TrimSpace(said.Message + " " + string(said.Errors))
	}
	if len(e.message) > maxMessage {
		e.message = e.message[:maxMessage]
	}
	e.message = strings.ToValidUTF8(e.message, "\uFFFD")
	return e
}

// retryAfter is how long an answer asks to wait, in seconds or until a date (RFC 9110,
// 10.2.3); 0 if it does not.
func retryAfter(h http.Header, now time.Time) time.Duration {
	text := strings.TrimSpace(h.Get("Retry-After"))
	if n, err := strconv.ParseUint(text, 10, 32); err == nil {
		return min(time.Duration(n)*time.Second, maxRetryAfter)
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	// By the server's own clock where it tells the time: ours may differ.
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		now = date
	}
	return min(max(0, at.Sub(now)), maxRetryAfter)
}

func readPage(body []byte) (page, error) {
	var answer struct {
		Data     []json.RawMessage `json:"data"`
		Metadata struct {
			After string `json:"after"` // null: there is no more
		} `json:"list_metadata"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return page{}, fmt.Errorf("the answer is no list of Events: %w", err)
	}
	if answer.Data == nil {
		return page{}, errors.New("the answer is no list of Events: it has no data")
	}
	p := page{more: answer.Metadata.After != "", last: answer.Metadata.After}
	var first, latest time.Time
	for _, raw := range answer.Data {
		var e struct {
			ID        string `json:"id"`
			CreatedAt string `json:"created_at"`
		}
		_ = json.Unmarshal(raw, &e) // what is no Event goes to the dead letters
		l := listed{raw: raw, id: e.ID}
		if t, err := time.Parse(time.RFC3339Nano, e.CreatedAt); err == nil {
			l.created = t
			if first.IsZero() {
				first = t
			}
			latest = t
		}
		p.events = append(p.events, l)
	}
	// A cursor that goes down a list from its newest Event would pass over all that comes.
	if latest.Before(first) {
		return page{}, fmt.Errorf("the answer is not in ascending order (it begins at %s and ends at %s)", first.Format(time.RFC3339), latest.Format(time.RFC3339))
	}
	if n := len(p.events); n > 0 && p.last == "" {
		p.last = p.events[n-1].id
	}
	return p, nil
}
