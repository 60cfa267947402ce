package egress

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
)

func TestWhoMayGoWhere(t *testing.T) {
	addresses := []string{
		"93.184.216.34", "2606:2800:220:1::1", // public
		"10.1.2.3", "172.16.0.1", "192.168.1.1", "fd12::1", "100.64.0.1", // private
		"127.0.0.1", "::1", "::ffff:127.0.0.1", // loopback
		"169.254.1.1", "fe80::1%eth0", // link-local
		"169.254.169.254", "::ffff:169.254.169.254", "fd00:ec2::254", "168.63.129.16", "100.100.100.200", // metadata
		"0.0.0.0", "::", "224.0.0.1", "ff02::1", "255.255.255.255", // nobody, or many
	}
	public := []string{"93.184.216.34", "2606:2800:220:1::1"}
	cases := []struct {
		name      string
		allow     []Prefix
		operators bool
		want      []string
	}{
		{"the operator's own, nothing decided", nil, true, append([]string{
			"10.1.2.3", "172.16.0.1", "192.168.1.1", "fd12::1", "100.64.0.1", "127.0.0.1", "::1", "::ffff:127.0.0.1",
		}, public...)},
		{"somebody's, nothing decided", nil, false, public},
		{"the operator's own, nothing allowed", []Prefix{}, true, public},
		{"the operator's own, a network allowed", prefixes(t, "10.0.0.0/8"), true, append([]string{"10.1.2.3"}, public...)},
		{"somebody's, networks allowed to the operator", prefixes(t, "10.0.0.0/8", "fd12::/16"), false, public},
		{"somebody's, networks allowed to all", prefixes(t, "10.0.0.0/8", "fd12::/16"), false, append([]string{"10.1.2.3", "fd12::1"}, public...)},
		{"a metadata service allowed by name to all", prefixes(t, "169.254.169.254"), false, append([]string{"169.254.169.254", "::ffff:169.254.169.254"}, public...)},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			want := map[string]bool{}
			for _, a := range c.want {
				want[a] = true
			}
			p := New(c.allow, nil)
			if strings.HasSuffix(c.name, "to all") {
				p = New(nil, c.allow)
			}
			for _, a := range addresses {
				err := p.Check(c.operators, netip.MustParseAddr(a))
				if (err == nil) != want[a] {
					t.Errorf("%s: %v", a, err)
				}
				if _, ok := errors.AsType[*Error](err); err != nil && !ok {
					t.Errorf("%s: %T", a, err)
				}
			}
		})
	}
}

func prefixes(t *testing.T, texts ...string) []Prefix {
	t.Helper()
	var list []Prefix
	for _, text := range texts {
		var p Prefix
		if err := p.UnmarshalText([]byte(text)); err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
	return list
}

func TestPrefix(t *testing.T) {
	for text, want := range map[string]string{
		"10.0.0.0/8": "10.0.0.0/8", "10.1.2.3": "10.1.2.3/32", "fd12::/16": "fd12::/16", "::1": "::1/128",
		"::ffff:10.1.2.3": "10.1.2.3/32",
		"10.1.2.3/8":      "", "10.0.0.0": "10.0.0.0/32", "": "", "example.com": "", "10.0.0.0/33": "", "fe80::1%eth0": "", "::ffff:10.0.0.0/104": "",
	} {
		var p Prefix
		err := p.UnmarshalText([]byte(text))
		if got := p.String(); (err == nil) != (want != "") || err == nil && got != want {
			t.Errorf("%q is %s, %v; want %q", text, got, err, want)
		}
	}
}

func FuzzPrefix(f *testing.F) {
	f.Add("10.0.0.0/8")
	f.Add("::1")
	f.Fuzz(func(t *testing.T, text string) {
		var p Prefix
		if p.UnmarshalText([]byte(text)) == nil && !p.IsValid() {
			t.Errorf("%q is taken as %v", text, p)
		}
	})
}
