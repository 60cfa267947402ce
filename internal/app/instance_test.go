package app

import (
	"errors"
	"testing"
)

func TestInstanceID(t *testing.T) {
	named := func() (string, error) { return "deliver-0", nil }
	tests := []struct {
		name, configured string
		hostname         func() (string, error)
		want             string
		fails            bool
	}{
		{"none", "", named, "", false},
		{"as written", "deliver-7", named, "deliver-7", false},
		{"the machine's", "hostname", named, "deliver-0", false},
		{"of a machine without a name", "hostname", func() (string, error) { return "", nil }, "", true},
		{"of a machine that does not tell", "hostname", func() (string, error) { return "", errors.New("no") }, "", true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := instanceID(test.configured, test.hostname)
			if got != test.want || (err != nil) != test.fails {
				t.Errorf("got %q and %v", got, err)
			}
		})
	}
}
