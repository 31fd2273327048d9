package turn

import (
	"net/netip"
	"testing"

	"github.com/maitred/maitred/pkg/relay"
)

func TestPolicy(t *testing.T) {
	public, private := netip.MustParseAddr("198.18.0.1"), netip.MustParseAddr("203.0.114.9")
	base := policy{
		relayed: func(a netip.Addr) bool { return a == public },
		host:    map[netip.Addr]bool{private: true, netip.MustParseAddr("2a00::1"): true},
	}
	const denied = relay.Reach(99)
	network, host, relayed := relay.ReachNetwork, relay.ReachHost, relay.ReachRelayed
	tests := []struct {
		ip          string
		allow, deny string
		want        relay.Reach
	}{
		{"8.8.8.8", "", "", network},
		{"2a00:1450::8", "", "", network},
		{"8.8.8.8", "", "8.0.0.0/8", denied},
		{"10.0.0.1", "10.0.0.0/8", "", network},
		{"10.0.0.1", "10.0.0.0/8", "10.0.0.1/32", denied},

		{"198.18.0.1", "", "", relayed}, // ours: always, but only inside the process
		{"198.18.0.1", "", "198.18.0.0/15", relayed},
		{"198.18.0.1", "198.18.0.0/15", "", host},
		{"203.0.114.9", "", "", denied}, // an address of this machine, though public
		{"203.0.114.9", "203.0.114.0/24", "", host},
		{"2a00::1", "", "", denied},
		{"127.0.0.1", "127.0.0.0/8", "", host},
		{"64:ff9b::7f00:1", "127.0.0.0/8", "", host},
		{"64:ff9b::cb00:7209", "", "", denied},

		{"::ffff:8.8.8.8", "::/0", "", denied},
		{"2002:a00:1::1", "::/0", "10.0.0.0/8", denied},
		{"64:ff9b::cb00:7209", "::/0", "", host},

		{"0.0.0.0", "", "", denied},
		{"10.1.2.3", "", "", denied},
		{"100.64.0.1", "", "", denied},
		{"100.100.100.200", "", "", denied},
		{"127.0.0.1", "", "", denied},
		{"168.63.129.16", "", "", denied},
		{"169.254.169.254", "", "", denied},
		{"172.16.0.1", "", "", denied},
		{"172.32.0.1", "", "", network},
		{"192.0.0.192", "", "", denied},
		{"192.0.2.1", "", "", denied},
		{"192.88.99.1", "", "", denied},
		{"192.168.1.1", "", "", denied},
		{"198.19.255.255", "", "", denied},
		{"198.51.100.1", "", "", denied},
		{"203.0.113.1", "", "", denied},
		{"224.0.0.1", "", "", denied},
		{"240.0.0.1", "", "", denied},
		{"255.255.255.255", "", "", denied},

		{"::", "", "", denied},
		{"::1", "", "", denied},
		{"::8.8.8.8", "", "", denied},
		{"::ffff:8.8.8.8", "", "", denied},
		{"::ffff:127.0.0.1", "", "", denied},
		{"::ffff:0:127.0.0.1", "", "", denied},
		{"64:ff9b::8.8.8.8", "", "", network},
		{"64:ff9b::8.8.8.8", "", "8.8.8.8/32", denied},
		{"64:ff9b::10.0.0.1", "", "", denied},
		{"64:ff9b::169.254.169.254", "", "", denied},
		{"64:ff9b:1::10.0.0.1", "", "", denied},
		{"100::1", "", "", denied},
		{"2001::1", "", "", denied},
		{"2001:db8::1", "", "", denied},
		{"2002:7f00:1::1", "", "", denied},
		{"2002:808:808::1", "", "", denied},
		{"3fff::1", "", "", denied},
		{"fd00:ec2::254", "", "", denied},
		{"fe80::1", "", "", denied},
		{"fec0::1", "", "", denied},
		{"ff02::1", "", "", denied},
	}
	for _, tt := range tests {
		p := base
		if tt.allow != "" {
			p.allow = prefixes(tt.allow)
		}
		if tt.deny != "" {
			p.deny = prefixes(tt.deny)
		}
		got, ok := p.check(netip.MustParseAddr(tt.ip))
		if !ok {
			got = denied
		}
		if got != tt.want {
			t.Errorf("%s (allow %q, deny %q): %d, want %d", tt.ip, tt.allow, tt.deny, got, tt.want)
		}
	}
}

func TestHostAddresses(t *testing.T) {
	host, err := hostAddresses()
	if err != nil || !host[loopback] {
		t.Errorf("%v, %v: 127.0.0.1 is missing", host, err)
	}
}
