package app

import (
	"bytes"
	"encoding/json"

	"github.com/auditstream/auditstream/consumer"
)

// Masked are settings as they are shown: of a sealed secret only that it is there.
func Masked(settings json.RawMessage) json.RawMessage {
	if !bytes.Contains(settings, []byte(`"sealed"`)) {
		return settings
	}
	v, err := readDocument(settings)
	if err != nil {
		return json.RawMessage(`{}`) // who knows what it is
	}
	masked, err := json.Marshal(mask(v))
	if err != nil {
		return json.RawMessage(`{}`)
	}
	return masked
}

// MaskOf is the mask of a stream as it is shown, nil without one.
func MaskOf(s consumer.Spec) json.RawMessage {
	rules := shownMask(s)
	if rules == nil {
		return nil
	}
	shown, err := json.Marshal(mask(rules))
	if err != nil {
		return json.RawMessage(`[]`)
	}
	return shown
}

// mask replaces every sealed secret in a document.
func mask(v any) any {
	switch v := v.(type) {
	case map[string]any:
		if _, ok := v["sealed"].(string); ok {
			return map[string]any{"sealed": true}
		}
		for name, inside := range v {
			v[name] = mask(inside)
		}
	case []any:
		for i, inside := range v {
			v[i] = mask(inside)
		}
	}
	return v
}

// readDocument reads JSON into maps and lists, numbers as they are written.
func readDocument(data []byte) (any, error) {
	var v any
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	err := d.Decode(&v)
	return v, err
}
