package access

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/auditstream/auditstream/internal/login"
	"github.com/auditstream/auditstream/producer/gateway"
	"github.com/auditstream/auditstream/sinks/sinktest/pki"
)

const acme = "org_01JAAAAAAAAAAAAAAAAAAAAAAA"

// listed is a key as it is configured; text is the key, or its hash.
func listed(name, text string) Key {
	return Key{
		Caller: gateway.Caller{Name: name, Organizations: []string{acme}}, Place: "gateway.keys[0]",
		Read: func(context.Context) (string, error) { return text, nil },
	}
}

func keysOf(t *testing.T, keys ...Key) *Keys {
	t.Helper()
	k, err := New(t.Context(), Config{Keys: keys, Log: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// from is a request with headers, as in: "Authorization", "Bearer x".
func from(t *testing.T, headers ...string) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/audit_logs/events", nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return r
}

func bearer(t *testing.T, key string) *http.Request {
	t.Helper()
	return from(t, "Authorization", "Bearer "+key)
}

// refusal is why a request is refused; nil: it is not.
func refusal(t *testing.T, k *Keys, r *http.Request) *gateway.Error {
	t.Helper()
	_, err := k.Authenticate(r)
	if err == nil {
		return nil
	}
	refused, ok := errors.AsType[*gateway.Error](err)
	if !ok {
		t.Fatalf("%v is no answer", err)
	}
	return refused
}

func TestAKeyIsWhose(t *testing.T) {
	first, hashed, former := NewKey(), NewKey(), "sk_test_a2V5XzAxSEdLNFpQNjlZ"
	k := keysOf(t, listed("billing", first), listed("web", HashOf(hashed)), listed("before", former))
	for key, want := range map[string]string{first: "billing", hashed: "web", former: "before"} {
		c, err := k.Authenticate(bearer(t, key))
		if err != nil || c.Name != want || len(c.Organizations) != 1 {
			t.Errorf("%v %v, want %s", c, err, want)
		}
	}
	if c, err := k.Authenticate(from(t, "Authorization", "bearer  "+first+" ")); err != nil || c.Name != "billing" {
		t.Errorf("another spelling of the scheme: %v", err)
	}
}

func TestWhoIsNotLetIn(t *testing.T) {
	key, gone := NewKey(), NewKey()
	expired := listed("expired", gone)
	expired.Expires = time.Now().Add(-time.Second)
	k := keysOf(t, listed("billing", key), expired)
	inAddress := from(t)
	inAddress.URL.RawQuery = "API_Key=" + key
	for name, test := range map[string]struct {
		request *http.Request
		remedy  string
	}{
		"no key":                  {from(t), "one header Authorization"},
		"two":                     {from(t, "Authorization", "Bearer "+key, "Authorization", "Bearer "+key), "one header"},
		"another scheme":          {from(t, "Authorization", "Basic "+key), "has to be: Bearer"},
		"a scheme alone":          {from(t, "Authorization", "Bearer"), "has to be: Bearer"},
		"nothing behind":          {from(t, "Authorization", "Bearer  "), "has to be: Bearer"},
		"a key alone":             {from(t, "Authorization", key), "has to be: Bearer"},
		"far too long":            {bearer(t, strings.Repeat("a", 1<<20)), "has to be: Bearer"},
		"another key":             {bearer(t, NewKey()), "not valid"},
		"a foreign one":           {bearer(t, "sk_live_1234567890abcdefghij"), "not valid"},
		"cut off":                 {bearer(t, key[:40]), "slip"},
		"its hash":                {bearer(t, HashOf(key)), "not valid"},
		"more behind it":          {bearer(t, key+" "+key), "slip"},
		"not ASCII":               {bearer(t, "ask_\xff\xfe"), "slip"},
		"expired":                 {bearer(t, gone), "has expired"},
		"in the address":          {inAddress, "address"},
		"in another header":       {from(t, "X-Api-Key", key), "one header Authorization"},
		"in a cookie":             {from(t, "Cookie", "key="+key), "one header Authorization"},
		"as a name and password":  {from(t, "Authorization", "Basic YTpi"), "has to be: Bearer"},
		"with a line break in it": {from(t, "Authorization", "Bearer "+key+"\n"+key), "slip"},
	} {
		test.request.RemoteAddr = name + ":1" // each from an address of its own
		refused := refusal(t, k, test.request)
		if refused == nil || refused.Status != http.StatusUnauthorized || refused.Message != "Unauthorized" || !strings.Contains(refused.Remedy, test.remedy) {
			t.Errorf("%s: %+v, want %q", name, refused, test.remedy)
			continue
		}
		if body, err := json.Marshal(refused); err != nil || strings.Contains(string(body), key) || strings.Contains(string(body), gone) {
			t.Errorf("%s: the answer shows the key: %s", name, body)
		}
	}
}

func TestAnOldKeyAndANewOneAreValidForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		former, next := listed("billing", NewKey()), listed("billing", NewKey())
		former.Expires, next.Place = time.Now().Add(time.Hour), "gateway.keys[1]"
		k := keysOf(t, former, next)
		valid := func(key Key) bool {
			text, _ := key.Read(t.Context())
			c, err := k.Authenticate(bearer(t, text))
			return err == nil && c.Name == "billing"
		}
		if !valid(former) || !valid(next) {
			t.Error("not both are valid")
		}
		<-time.After(time.Hour - time.Nanosecond)
		if !valid(former) {
			t.Error("it has expired too early")
		}
		<-time.After(time.Nanosecond)
		if valid(former) || !valid(next) {
			t.Error("the former one is still valid, or the new one is not")
		}
	})
}

func TestKeysAreReadAgain(t *testing.T) {
	former, next := NewKey(), NewKey()
	text, gone := former, error(nil)
	key := listed("billing", "")
	key.Read = func(context.Context) (string, error) { return text, gone }
	k := keysOf(t, key)
	valid := func(key string) bool { return refusal(t, k, bearer(t, key)) == nil }
	text = HashOf(next) // from now on the file has the hash alone
	if k.Reload(t.Context()); valid(former) || !valid(next) {
		t.Error("the former key is still valid, or the new one is not")
	}
	text = next[:30] // half of it is written
	if k.Reload(t.Context()); valid(next) || valid(text) {
		t.Error("half a key is valid, or the former one still")
	}
	text, gone = next, errors.New("no such file")
	if k.Reload(t.Context()); valid(next) {
		t.Error("a key that is gone is valid")
	}
	gone = nil
	if k.Reload(t.Context()); !valid(next) {
		t.Error("a key that is back is not valid")
	}
}

func TestKeysThatNobodyCouldUse(t *testing.T) {
	same := NewKey()
	for name, test := range map[string]struct {
		keys []Key
		want string
	}{
		"weak":               {[]Key{listed("billing", "password")}, `gateway.keys[0]: key "billing": it has 8 characters`},
		"with a slip":        {[]Key{listed("billing", same[:50])}, "check sum"},
		"two, the same":      {[]Key{listed("billing", same), listed("web", same)}, "tell the two apart"},
		"a key and its hash": {[]Key{listed("billing", same), listed("web", HashOf(same))}, "tell the two apart"},
		"no hash":            {[]Key{listed("billing", "sha256:abc")}, "hexadecimal"},
	} {
		_, err := New(t.Context(), Config{Keys: test.keys, Log: zap.NewNop()})
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), same) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}

func TestWithoutKeysNobodyIsLetIn(t *testing.T) {
	if refused := refusal(t, keysOf(t), bearer(t, NewKey())); refused == nil || refused.Status != http.StatusUnauthorized {
		t.Errorf("%+v", refused)
	}
}

func TestAnExpiredKeyKeepsNobodyFromBeginning(t *testing.T) {
	core, logs := observer.New(zap.WarnLevel)
	key := listed("billing", NewKey())
	key.Expires = time.Now().Add(-time.Hour)
	if _, err := New(t.Context(), Config{Keys: []Key{key}, Log: zap.New(core)}); err != nil || logs.FilterMessageSnippet("expired").Len() != 1 {
		t.Errorf("%v, %v", err, logs.All())
	}
}

func TestFailuresAreBoundedAndKeysAreNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := NewKey()
		k := keysOf(t, listed("billing", key))
		var last *gateway.Error
		for range 100 {
			last = refusal(t, k, bearer(t, NewKey()))
		}
		if last.Status != http.StatusTooManyRequests || last.RetryAfter == 0 || last.Code != gateway.CodeRate {
			t.Errorf("%+v", last)
		}
		if refused := refusal(t, k, bearer(t, key)); refused != nil {
			t.Errorf("who shares the address is locked out: %+v", refused)
		}
		<-time.After(time.Minute)
		if last = refusal(t, k, bearer(t, NewKey())); last.Status != http.StatusUnauthorized {
			t.Errorf("a minute later: %+v", last)
		}
	})
}

func TestAKeyMayBeBoundToACertificate(t *testing.T) {
	key := listed("billing", NewKey())
	key.Certificates = []string{"billing.internal", "spiffe://cluster/billing"}
	text, _ := key.Read(t.Context())
	k := keysOf(t, key)
	authority := pki.New(t)
	shows := func(until time.Time, names ...string) *tls.ConnectionState {
		cert := issued(t, authority, until, names...)
		return &tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert}, VerifiedChains: [][]*x509.Certificate{{cert}}}
	}
	hour := time.Now().Add(time.Hour)
	unverified := shows(hour, "billing.internal")
	unverified.VerifiedChains = nil
	for name, test := range map[string]struct {
		tls    *tls.ConnectionState
		remedy string
	}{
		"by name":                  {shows(hour, "billing.internal"), ""},
		"by URI":                   {shows(hour, "other.internal", "spiffe://cluster/billing"), ""},
		"without TLS":              {nil, "client certificate only"},
		"without a certificate":    {&tls.ConnectionState{}, "client certificate only"},
		"that nobody has verified": {unverified, "client certificate only"},
		"another's":                {shows(hour, "web.internal"), "another name"},
		"a name below it":          {shows(hour, "a.billing.internal"), "another name"},
		"in the subject alone":     {shows(hour), "another name"},
		"expired since":            {shows(time.Now().Add(-time.Second), "billing.internal"), "has expired"},
	} {
		r := bearer(t, text)
		r.TLS = test.tls
		refused := refusal(t, k, r)
		if test.remedy == "" && refused != nil || test.remedy != "" && (refused == nil || !strings.Contains(refused.Remedy, test.remedy)) {
			t.Errorf("%s: %+v, want %q", name, refused, test.remedy)
		}
	}
}

// issued is a certificate called billing.internal, with other names.
func issued(t *testing.T, by *pki.Authority, until time.Time, names ...string) *x509.Certificate {
	t.Helper()
	text, _ := by.Issue(t, "billing.internal", until, names...)
	block, _ := pem.Decode(text)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func TestWhatIsCountedOfKeys(t *testing.T) {
	registry := prometheus.NewRegistry()
	former, next := listed("billing", NewKey()), listed("billing", NewKey())
	former.Expires, next.Place = time.Unix(4102444800, 0), "gateway.keys[1]"
	k, err := New(t.Context(), Config{Keys: []Key{former, next}, Metrics: registry, Log: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	text, _ := next.Read(t.Context())
	for range 3 {
		if _, err := k.Authenticate(bearer(t, text)); err != nil {
			t.Fatal(err)
		}
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			got[f.GetName()+" "+m.GetLabel()[1].GetValue()] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	for name, want := range map[string]float64{
		"auditstream_gateway_key_requests_total gateway.keys[0]":           0, // so it can be taken away
		"auditstream_gateway_key_requests_total gateway.keys[1]":           3,
		"auditstream_gateway_key_expiry_timestamp_seconds gateway.keys[0]": 4102444800,
	} {
		if v, ok := got[name]; !ok || v != want {
			t.Errorf("%s is %v, want %v", name, v, want)
		}
	}
}

// FuzzAuthenticate sends any header to keys that are known.
func FuzzAuthenticate(f *testing.F) {
	key := NewKey()
	f.Add("Bearer " + key)
	f.Add("Bearer " + HashOf(key))
	f.Add("bearer\t" + key)
	f.Add("Basic " + key)
	f.Add("Bearer ask_\x00")
	f.Fuzz(func(t *testing.T, header string) {
		k := keysOf(t, listed("billing", key))
		r := from(t)
		r.Header["Authorization"] = []string{header}
		_, err := k.Authenticate(r)
		scheme, shown, _ := strings.Cut(header, " ")
		valid := strings.EqualFold(scheme, "Bearer") && login.HashOf(strings.TrimSpace(shown)) == login.HashOf(key)
		if valid != (err == nil) {
			t.Errorf("%q: %v", header, err)
		}
	})
}
