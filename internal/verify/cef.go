package verify

import (
	"bytes"
	"strings"

	"github.com/auditstream/auditstream/integrity"
)

// beginCEF begins the lines of the one format of text.
const beginCEF = "CEF:"

// beginProofCEF begins the extensions that carry the proof.
const beginProofCEF = " auditstreamFeed="

// readCEF reads a line of CEF: the proof is its last extensions, and the event is what
// stands before them. What stands behind the event is covered by no hash, and readers of CEF
// take the last of two extensions of one name: nothing but the proof may stand there.
func readCEF(line []byte) (entry, error) {
	at := bytes.LastIndex(line, []byte(beginProofCEF))
	if at < 0 {
		return entry{stray: true, item: integrity.Item{ID: idOf(line)}}, nil
	}
	p := place{event: line[:at]}
	into := map[string]*string{
		"auditstreamFeed": &p.feed, "auditstreamSeq": &p.number, "auditstreamChain": &p.chain,
		"auditstreamOriginalFeed": &p.originalFeed, "auditstreamOriginalSeq": &p.originalNumber,
	}
	for pair := range strings.SplitSeq(string(line[at+1:]), " ") {
		name, value, _ := strings.Cut(pair, "=")
		known := into[name]
		if known == nil || *known != "" {
			p.blame("behind the event there is %.40q, which no hash covers", pair)
			continue
		}
		*known = strings.ReplaceAll(value, `\=`, "=")
	}
	return p.entry(line)
}
