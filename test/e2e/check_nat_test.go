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
	for _, tt := range []struct{ name, rule, kind string }{
		{"keeps ports", "snat to " + outside, "same"},
		{"new ports", "meta l4proto udp snat to " + outside + ":30000-50000 fully-random", "differs"},
		{"no UDP", "meta l4proto udp drop", "blocked"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			hook := "type nat hook input priority 100;"
			if tt.kind == "blocked" {
				hook = "type filter hook input priority -10;"
			}
			// What the kernel knows of connections before must not count.
			rules := fmt.Sprintf("delete %s\n%s {\nchain input {\n%s\niifname \"%s-*\" %s\n}\n}\n", table, table, hook, l.name, tt.rule)
			command(t, rules, "nft", "-f", "-")
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
