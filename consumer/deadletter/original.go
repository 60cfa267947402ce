package deadletter

import (
	"encoding/json"
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Original is the record that a letter is about, as its producer wrote it. As JSON its bytes
// are text where they are UTF-8, else base64 in a member of another name, so that none is
// changed on the way.
type Original struct {
	Key     []byte // nil: none
	Value   []byte // nil: none
	Headers []kgo.RecordHeader
}

// originalJSON is an Original as JSON. Of key and value at most one form is set, none where
// the record has none.
type originalJSON struct {
	Key         *string        `json:"key,omitempty"`
	KeyBase64   []byte         `json:"key_base64,omitempty"`
	Headers     []originalHead `json:"headers,omitempty"`
	Value       *string        `json:"value,omitempty"`
	ValueBase64 []byte         `json:"value_base64,omitempty"`
}

type originalHead struct {
	Name        string  `json:"name"`
	Value       *string `json:"value,omitempty"`
	ValueBase64 []byte  `json:"value_base64,omitempty"`
}

// MarshalJSON writes text where it can.
func (o Original) MarshalJSON() ([]byte, error) {
	var out originalJSON
	out.Key, out.KeyBase64 = textOf(o.Key)
	out.Value, out.ValueBase64 = textOf(o.Value)
	for _, h := range o.Headers {
		head := originalHead{Name: strings.ToValidUTF8(h.Key, "\uFFFD")}
		head.Value, head.ValueBase64 = textOf(h.Value)
		out.Headers = append(out.Headers, head)
	}
	return json.Marshal(out)
}

// UnmarshalJSON reads what MarshalJSON writes.
func (o *Original) UnmarshalJSON(data []byte) error {
	var in originalJSON
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	var errs [2]error
	*o = Original{}
	o.Key, errs[0] = bytesOf(in.Key, in.KeyBase64)
	o.Value, errs[1] = bytesOf(in.Value, in.ValueBase64)
	for _, h := range in.Headers {
		value, err := bytesOf(h.Value, h.ValueBase64)
		if err != nil {
			return err
		}
		o.Headers = append(o.Headers, kgo.RecordHeader{Key: h.Name, Value: value})
	}
	return errors.Join(errs[:]...)
}

func textOf(b []byte) (*string, []byte) {
	if b == nil || !utf8.Valid(b) {
		return nil, b
	}
	return new(string(b)), nil
}

func bytesOf(text *string, other []byte) ([]byte, error) {
	switch {
	case text != nil && other != nil:
		return nil, errors.New("a value stands there as text and in base64")
	case text != nil:
		return []byte(*text), nil
	}
	return other, nil
}
