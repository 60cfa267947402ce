package app

import (
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
)

const gatewayPage = "../../docs/gateway.md"

// TestTheGatewaysPage runs the commands of the page against a gateway, and holds what they print
// against what the page says.
func TestTheGatewaysPage(t *testing.T) {
	s := newSite(t)
	s.there()
	d := s.gateway()
	d.ready()
	page, err := os.ReadFile(gatewayPage)
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(string(page), "```\n")
	ran := 0
	for i, part := range parts {
		command, said, ok := strings.Cut(part, "\n")
		if !strings.HasPrefix(part, "$ curl ") || !ok {
			continue
		}
		// A command goes on behind a backslash, and within quotes.
		for strings.HasSuffix(command, `\`) || strings.Count(command, "'")%2 == 1 {
			line, rest, more := strings.Cut(said, "\n")
			command, said = command+"\n"+line, rest
			if !more {
				break
			}
		}
		if got := d.curl(t, command); got != said {
			if !*update {
				t.Errorf("%s\nprints\n%sthe page says\n%s(go test ./internal/app -run Page -update writes it)", command, got, said)
			}
			parts[i] = command + "\n" + got
		}
		ran++
	}
	if ran < 4 {
		t.Errorf("%d commands: the page has lost some", ran)
	}
	if *update {
		if err := os.WriteFile(gatewayPage, []byte(strings.Join(parts, "```\n")), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// curl does what the program would, as far as the page uses it.
func (d *door) curl(t *testing.T, command string) string {
	t.Helper()
	var words []string
	for rest := strings.ReplaceAll(command, "\\\n", " "); ; {
		rest = strings.TrimLeft(rest, " \n")
		if rest == "" {
			break
		}
		end := " \n"
		if rest[0] == '\'' || rest[0] == '"' {
			end, rest = rest[:1], rest[1:]
		}
		at := strings.IndexAny(rest, end)
		if at < 0 {
			at = len(rest)
		}
		words = append(words, strings.ReplaceAll(rest[:at], "$KEY", gatewayKey))
		rest = rest[min(at+1, len(rest)):]
	}
	header, body, url := http.Header{}, "", ""
	for i := 2; i < len(words); i++ { // behind $ curl
		switch words[i] {
		case "-s":
		case "-H":
			i++
			name, value, _ := strings.Cut(words[i], ": ")
			header.Set(name, value)
		case "-d":
			i++
			body = words[i]
		default:
			url = words[i]
		}
	}
	at, _ := d.logged("events are taken in").ContextMap()["url"].(string)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, strings.Replace(url, "http://127.0.0.1:18080", at, 1), strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
