package e2e

import (
	"fmt"
	"testing"
	"time"
)

// TestCheckPageBehindNAT opens /check on laptops behind a NAT that keeps the port of a sender, behind one that has another for each
// destination, and behind a firewall that lets no UDP through.
func TestCheckPageBehindNAT(t *testing.T) {
	const outside = "10.9.99.1"
	d := startLab(t, "MAITRED_TURN_ALLOW_PEERS="+outside+"/32")
	l := newLaptop(t, 4)
	table := fmt.Sprintf("table ip nat-%s", l.name)
	command(t, table+" {}", "nft", "-f", "-")
	t.Cleanup(func() { command(t, "delete "+table, "nft", "-f", "-") })
	chromium, base := l.browse(d)
	from := fmt.Sprintf(`iifname "%s-*" `, l.name)
	for _, tt := range []struct{ name, chains, kind string }{
		// Both ways, or the kernel takes another port where the relay has spoken first.
		{"keeps ports", "chain input {\ntype nat hook input priority 100;\n" + from + "snat to " + outside + "\n}\n" +
			"chain output {\ntype nat hook output priority -100;\nip daddr " + outside + " dnat to " + l.address(0, 2) + "\n}\n", "same"},
		{"new ports", "chain input {\ntype nat hook input priority 100;\n" + from + "meta l4proto udp snat to " + outside + ":30000-50000 fully-random\n}\n", "differs"},
		{"no UDP", "chain input {\ntype filter hook input priority -10;\n" + from + "meta l4proto udp drop\n}\n", "blocked"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			command(t, fmt.Sprintf("delete %s\n%s {\n%s}\n", table, table, tt.chains), "nft", "-f", "-")
			page := chromium.open("check "+tt.name, base+"/check")
			page.t = t
			page.waitFor(60*time.Second, `["none", "same", "differs", "some", "blocked"].includes(document.querySelector("#nat").dataset.kind)`)
			if kind := value[string](page, `document.querySelector("#nat").dataset.kind`); kind != tt.kind {
				t.Errorf("the NAT is %q, not %q:\n%s", kind, tt.kind, value[string](page, `document.body.innerText`))
			}
			page.close()
		})
	}
}
