package certificate

import (
	"fmt"
	"strings"

	"rsc.io/qr"
)

// quietZone is the light margin that scanners need around a code, in modules (ISO/IEC 18004).
const quietZone = 4

// QRCode draws text as a QR code for a terminal with light letters on a dark background: two modules in a character, light ones
// filled. It fails when text is longer than a code can hold, 2,331 bytes.
func QRCode(text string) (string, error) {
	code, err := qr.Encode(text, qr.M)
	if err != nil {
		return "", fmt.Errorf("draw a QR code of %d bytes: %w", len(text), err)
	}
	light := func(x, y int) bool { return y < code.Size+quietZone && !code.Black(x, y) }
	var b strings.Builder
	for y := -quietZone; y < code.Size+quietZone; y += 2 {
		for x := -quietZone; x < code.Size+quietZone; x++ {
			switch {
			case light(x, y) && light(x, y+1):
				b.WriteRune('█')
			case light(x, y):
				b.WriteRune('▀')
			case light(x, y+1):
				b.WriteRune('▄')
			default:
				b.WriteByte(' ')
			}
		}
		b.WriteByte('\n')
	}
	return b.String(), nil
}
