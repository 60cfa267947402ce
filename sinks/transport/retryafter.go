package transport

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// MaxRetryAfter bounds what a server may make us wait. A destination that is well again
// must not stay unused because of one answer.
const MaxRetryAfter = time.Hour

// retryAfter is how long h asks to wait: Retry-After in seconds or as a date (RFC 9110,
// 10.2.3), else X-Ratelimit-Reset in seconds (Datadog). 0 if it does not, or not
// in a form that can be read.
func retryAfter(h http.Header, now time.Time) time.Duration {
	if d, ok := seconds(h.Get("Retry-After")); ok {
		return d
	}
	if at, err := http.ParseTime(h.Get("Retry-After")); err == nil {
		// By the server's own clock where it tells the time: ours may differ.
		if date, err := http.ParseTime(h.Get("Date")); err == nil {
			now = date
		}
		return min(max(0, at.Sub(now)), MaxRetryAfter)
	}
	d, _ := seconds(h.Get("X-Ratelimit-Reset"))
	return d
}

func seconds(s string) (time.Duration, bool) {
	s = strings.TrimSpace(s)
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n > int64(MaxRetryAfter/time.Second) { // digits only: too large for an int64
		return MaxRetryAfter, true
	}
	return time.Duration(n) * time.Second, true
}
