package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// pageCommands are what scripts can do with a server of the API and the console:
//
//	ask METHOD PATH [FILE]  prints the whole answer of $SERVER to a request with
//	                        $AUDITSTREAM_TOKEN; a path that begins with http is asked as it is
//	pages PATH…             logs in to the console with $AUDITSTREAM_TOKEN, and prints each page
func pageCommands(commands map[string]func(*testscript.TestScript, bool, []string)) {
	commands["ask"] = func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) < 2 || len(args) > 3 {
			ts.Fatalf("usage: ask METHOD PATH [FILE]")
		}
		body := ""
		if len(args) == 3 {
			body = ts.ReadFile(args[2])
		}
		address := args[1]
		if !strings.HasPrefix(address, "http") {
			address = ts.Getenv("SERVER") + address
		}
		show(ts, http.DefaultClient, args[0], address, body, http.Header{"Authorization": {"Bearer " + ts.Getenv("AUDITSTREAM_TOKEN")}, "Content-Type": {"application/json"}, "If-Match": {"*"}})
	}
	commands["pages"] = func(ts *testscript.TestScript, neg bool, args []string) {
		jar, err := cookiejar.New(nil)
		ts.Check(err)
		client, server := &http.Client{Jar: jar}, ts.Getenv("SERVER")
		show(ts, client, http.MethodPost, server+"/login", url.Values{"token": {ts.Getenv("AUDITSTREAM_TOKEN")}}.Encode(), http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Origin": {server}})
		for _, path := range args {
			show(ts, client, http.MethodGet, server+path, "", nil)
		}
	}
}

// show prints an answer, headers and all. The cookie of a session is what it is for.
func show(ts *testscript.TestScript, client *http.Client, method, address, body string, header http.Header) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(body))
	ts.Check(err)
	maps.Copy(req.Header, header)
	resp, err := client.Do(req)
	ts.Check(err)
	defer resp.Body.Close() //nolint:errcheck // only read
	resp.Header.Del("Set-Cookie")
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s: %s\n", method, req.URL.Path, resp.Status)
	_ = resp.Header.Write(&b) // a buffer takes all
	_, err = io.Copy(&b, resp.Body)
	ts.Check(err)
	_, err = fmt.Fprintf(ts.Stdout(), "%s\n", b.String())
	ts.Check(err)
}
