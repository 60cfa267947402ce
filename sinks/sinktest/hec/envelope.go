package hec

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// read reads objects until one is bad. It returns those before it and, in the answer,
// what is wrong with that one; code 0 if nothing is, as far as Splunk would tell.
func (s *Server) read(body []byte) ([]Event, answer) {
	var events []Event
	dec := json.NewDecoder(bytes.NewReader(body))
	for number := 0; ; number++ {
		refuse := func(c code, n int) ([]Event, answer) { return events, answer{Code: c, Number: &n} }

		var envelope map[string]json.RawMessage
		err := dec.Decode(&envelope)
		if errors.Is(err, io.EOF) {
			return events, answer{Code: codeSuccess}
		}
		if err != nil || envelope == nil {
			return refuse(codeInvalidData, number)
		}
		for key := range envelope {
			if !slices.Contains([]string{"time", "host", "source", "sourcetype", "index", "event", "fields"}, key) {
				// The real one loses this object and all after it, and says success.
				return events, answer{Code: codeSuccess}
			}
		}
		if envelope["event"] == nil && envelope["fields"] != nil {
			continue // skipped, and nobody is told
		}
		e, c := decode(envelope)
		if c != codeSuccess {
			return refuse(c, number)
		}
		if e.Index == "" {
			e.Index = s.config.DefaultIndex
		}
		if !s.mayWrite(e.Index) {
			return refuse(codeIncorrectIndex, number+1) // this code alone counts from 1
		}
		events = append(events, e)
	}
}

func (s *Server) mayWrite(index string) bool {
	return len(s.config.Indexes) == 0 || slices.Contains(s.config.Indexes, index)
}

func decode(envelope map[string]json.RawMessage) (Event, code) {
	e := Event{Event: envelope["event"], Fields: envelope["fields"]}
	if c := checkEvent(e.Event); c != codeSuccess {
		return e, c
	}
	for key, to := range map[string]*string{"host": &e.Host, "source": &e.Source, "sourcetype": &e.SourceType, "index": &e.Index} {
		if raw := envelope[key]; raw != nil && json.Unmarshal(raw, to) != nil {
			return e, codeInvalidData
		}
	}
	if raw := envelope["time"]; raw != nil {
		var ok bool
		if e.Time, ok = readTime(raw); !ok {
			return e, codeInvalidData
		}
	}
	if !flat(e.Fields) {
		return e, codeFields
	}
	return e, codeSuccess
}

func checkEvent(event json.RawMessage) code {
	if event == nil {
		return codeNoEvent
	}
	switch string(event) {
	case "null", "false":
		return codeInvalidData
	}
	var text string
	if json.Unmarshal(event, &text) == nil && strings.TrimSpace(text) == "" {
		return codeBlankEvent
	}
	return codeSuccess
}

// readTime reads seconds since 1970, as a number or as a string of one. Splunk guesses by
// the length: integers of 13 digits are milliseconds, those of 19 nanoseconds.
func readTime(raw json.RawMessage) (time.Time, bool) {
	text := strings.Trim(string(raw), `"`)
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		switch len(text) {
		case len("1736937000123"):
			return time.UnixMilli(n).UTC(), true
		case len("1736937000123456789"):
			return time.Unix(0, n).UTC(), true
		}
	}
	seconds, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(seconds) || math.Abs(seconds) > math.MaxInt64/1e6 {
		return time.Time{}, false
	}
	return time.UnixMicro(int64(math.Round(seconds * 1e6))).UTC(), true
}

// flat reports that fields has no object below it: Splunk takes values and lists of them.
func flat(fields json.RawMessage) bool {
	if fields == nil {
		return true
	}
	var values map[string]any
	if json.Unmarshal(fields, &values) != nil {
		return false
	}
	for _, v := range values {
		switch v := v.(type) {
		case map[string]any:
			return false
		case []any:
			for _, element := range v {
				switch element.(type) {
				case map[string]any, []any:
					return false
				}
			}
		}
	}
	return true
}
