package deadletter

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"
)

// What a producer wrote comes back byte for byte, whatever it is.
func TestAnOriginalSurvivesJSON(t *testing.T) {
	for name, test := range map[string]struct {
		original Original
		want     string
	}{
		"an event": {
			Original{Key: []byte("org"), Value: []byte("{ \"a\":1.0,\"b\":\"<\" }\n"), Headers: []kgo.RecordHeader{{Key: "encoding", Value: []byte("jcs")}}},
			`{"key":"org","headers":[{"name":"encoding","value":"jcs"}],"value":"{ \"a\":1.0,\"b\":\"\u003c\" }\n"}`,
		},
		"no text": {
			Original{Key: []byte{0xff}, Value: []byte("\xfe\x00"), Headers: []kgo.RecordHeader{{Key: "h", Value: []byte{0x80}}}},
			`{"key_base64":"/w==","headers":[{"name":"h","value_base64":"gA=="}],"value_base64":"/gA="}`,
		},
		"nothing":     {Original{}, `{}`},
		"empty bytes": {Original{Key: []byte{}, Value: []byte{}}, `{"key":"","value":""}`},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := json.Marshal(test.original)
			if err != nil || string(b) != test.want {
				t.Fatalf("%s, %v; want %s", b, err, test.want)
			}
			var back Original
			if err := json.Unmarshal(b, &back); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.original, back); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	if err := json.Unmarshal([]byte(`{"value":"a","value_base64":"YQ=="}`), &Original{}); err == nil {
		t.Error("a value in two forms was read")
	}
}
