package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"go.uber.org/zap"
	"go.yaml.in/yaml/v3"

	"github.com/auditstream/auditstream/sinks/sinktest/hec"
)

// devSplunkSettings is what the hosted Splunk is like, in the file of devSplunkFile.
type devSplunkSettings struct {
	TokenEnabled     bool `yaml:"token_enabled"`
	MaxContentLength int  `yaml:"max_content_length"`
}

const devSplunkText = `# What the Splunk that "auditstream dev" hosts is like. It is read again when it changes:
# play Splunk's administrator, and watch what auditstream does.

# false switches the token off: the stream is held as invalid, and probed.
token_enabled: true

# The largest request, in bytes. An event that is larger by itself is refused for ever, and
# goes to the dead letters.
max_content_length: %d
`

// devSplunkFile is where the settings stand; it is made when it is missing.
func (d Dev) devSplunkFile() (string, error) {
	path := filepath.Join(d.Dir, "splunk", "settings.yaml")
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		return path, err
	}
	return path, os.WriteFile(path, fmt.Appendf(nil, devSplunkText, hec.MaxContentLength), 0o600)
}

func readDevSplunk(text []byte) (devSplunkSettings, error) {
	s := devSplunkSettings{TokenEnabled: true, MaxContentLength: hec.MaxContentLength}
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&s); err != nil && !errors.Is(err, io.EOF) {
		return s, err
	}
	if s.MaxContentLength < 1 {
		return s, fmt.Errorf("max_content_length: %d is no size of a request", s.MaxContentLength)
	}
	return s, nil
}

// administer makes the hosted Splunk what its file says, until ctx ends. A file that cannot be
// read leaves it as it is, and is told of once.
func (d Dev) administer(ctx context.Context, splunk *hec.Server, path string) {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	var known []byte
	told := ""
	for {
		text, err := os.ReadFile(path)
		if err == nil && !bytes.Equal(text, known) {
			var s devSplunkSettings
			if s, err = readDevSplunk(text); err == nil {
				splunk.Administer(!s.TokenEnabled, s.MaxContentLength)
				known = text
			}
		}
		switch {
		case err == nil:
			told = ""
		case err.Error() != told:
			told = err.Error()
			d.Log.Warn("the settings of the hosted Splunk are not followed", zap.String("file", path), zap.Error(err))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
