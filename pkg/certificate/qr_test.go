package certificate

import (
	"strings"
	"testing"

	"rsc.io/qr"
)

// TestQRCode reads the drawing back, half a character for a module.
func TestQRCode(t *testing.T) {
	for _, text := range []string{"https://192.168.1.5:8443/", "x", "https://[2001:db8::1]:8443/r/" + strings.Repeat("long", 50)} {
		drawing, err := QRCode(text)
		if err != nil {
			t.Fatal(err)
		}
		code, err := qr.Encode(text, qr.M)
		if err != nil {
			t.Fatal(err)
		}
		side := code.Size + 2*quietZone
		lines := strings.Split(strings.TrimSuffix(drawing, "\n"), "\n")
		if len(lines) != (side+1)/2 {
			t.Fatalf("%d lines for %d modules", len(lines), side)
		}
		for y := range 2 * len(lines) {
			row := []rune(lines[y/2])
			if len(row) != side {
				t.Fatalf("line %d has %d characters for %d modules", y/2, len(row), side)
			}
			for x, c := range row {
				filled := c == '█' || c == '▀' && y%2 == 0 || c == '▄' && y%2 == 1
				if light := y < side && !code.Black(x-quietZone, y-quietZone); filled != light {
					t.Fatalf("%q: module %d, %d is %q and light is %v", text, x, y, c, light)
				}
			}
		}
	}
	if _, err := QRCode(strings.Repeat("x", 2331)); err != nil {
		t.Errorf("the longest text: %v", err)
	}
	if _, err := QRCode(strings.Repeat("x", 2332)); err == nil {
		t.Error("a text that no code can hold was drawn")
	}
}
