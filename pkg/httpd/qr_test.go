package httpd

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"rsc.io/qr"
)

// modules are the squares of a QR code, true for dark ones, row by row and
// without the quiet zone.
type modules [][]bool

var (
	svgRun  = regexp.MustCompile(`M(\d+) (\d+)h(\d+)v1h-(\d+)z`)
	svgPath = regexp.MustCompile(`^(` + svgRun.String() + `)+$`)
)

// wantQuiet is the width of the quiet zone (ISO/IEC 18004 section 6.3.8).
const wantQuiet = 4

// readSVG is strict about the form of the picture, and about its quiet zone.
func readSVG(t *testing.T, text string) modules {
	t.Helper()
	var svg struct {
		XMLName xml.Name `xml:"http://www.w3.org/2000/svg svg"`
		ViewBox string   `xml:"viewBox,attr"`
		Crisp   string   `xml:"shape-rendering,attr"`
		Rects   []struct {
			Width  int    `xml:"width,attr"`
			Height int    `xml:"height,attr"`
			Fill   string `xml:"fill,attr"`
		} `xml:"rect"`
		Paths []struct {
			D string `xml:"d,attr"`
		} `xml:"path"`
	}
	if err := xml.Unmarshal([]byte(text), &svg); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	var width, height int
	if _, err := fmt.Sscanf(svg.ViewBox, "0 0 %d %d", &width, &height); err != nil || width != height || svg.Crisp != "crispEdges" {
		t.Fatalf("viewBox %q, shape-rendering %q", svg.ViewBox, svg.Crisp)
	}
	if len(svg.Rects) != 1 || svg.Rects[0].Width != width || svg.Rects[0].Height != width || svg.Rects[0].Fill != "#fff" {
		t.Fatalf("the background is %+v, want one in white of %d", svg.Rects, width)
	}
	if len(svg.Paths) != 1 || !svgPath.MatchString(svg.Paths[0].D) {
		t.Fatalf("paths %+v", svg.Paths)
	}
	drawn := make(modules, width)
	for y := range drawn {
		drawn[y] = make([]bool, width)
	}
	for _, run := range svgRun.FindAllString(svg.Paths[0].D, -1) {
		var x, y, n, back int
		if _, err := fmt.Sscanf(run, "M%d %dh%dv1h-%dz", &x, &y, &n, &back); err != nil || n != back || y >= width || x+n > width {
			t.Fatalf("run %s: %v", run, err)
		}
		for i := range n {
			drawn[y][x+i] = true
		}
	}
	inner := make(modules, 0, width)
	for y, row := range drawn {
		for x, dark := range row {
			if edge := min(x, y, width-1-x, width-1-y); dark && edge < wantQuiet {
				t.Fatalf("a dark module at %d, %d, in the quiet zone", x, y)
			}
		}
		if y >= wantQuiet && y < width-wantQuiet {
			inner = append(inner, row[wantQuiet:width-wantQuiet])
		}
	}
	return inner
}

// qrShape is what a version of ISO/IEC 18004 has at level M: where its alignment
// patterns are (table E.1), and how many bytes of data each block has (table 9).
type qrShape struct{ alignment, blocks []int }

var qrShapes = map[int]qrShape{
	2:  {[]int{6, 18}, []int{28}},
	3:  {[]int{6, 22}, []int{44}},
	4:  {[]int{6, 26}, []int{32, 32}},
	14: {[]int{6, 26, 46, 66}, []int{40, 40, 40, 40, 41, 41, 41, 41, 41}},
}

// qrMasks are the conditions of table 10, by reference; i is the row.
var qrMasks = []func(i, j int) bool{
	func(i, j int) bool { return (i+j)%2 == 0 },
	func(i, _ int) bool { return i%2 == 0 },
	func(_, j int) bool { return j%3 == 0 },
	func(i, j int) bool { return (i+j)%3 == 0 },
	func(i, j int) bool { return (i/2+j/3)%2 == 0 },
	func(i, j int) bool { return i*j%2+i*j%3 == 0 },
	func(i, j int) bool { return (i*j%2+i*j%3)%2 == 0 },
	func(i, j int) bool { return ((i+j)%2+i*j%3)%2 == 0 },
}

// readQR decodes a code of level M without any use of its redundancy, as the
// standard describes it: the library that has drawn it has no part in this.
func readQR(t *testing.T, m modules) string {
	t.Helper()
	size := len(m)
	version := (size - 17) / 4
	shape, ok := qrShapes[version]
	if !ok || size != 17+4*version {
		t.Fatalf("%d modules: not a version that this test knows", size)
	}
	checkPatterns(t, m)
	mask := qrMasks[readFormat(t, m)]
	var raw []byte
	bits, up := 0, true
	for right := size - 1; right > 0; right -= 2 {
		if right == 6 {
			right-- // the column of the timing pattern
		}
		for y := range size {
			if up {
				y = size - 1 - y
			}
			for _, x := range []int{right, right - 1} {
				if isFunction(shape, size, x, y) {
					continue
				}
				if bits%8 == 0 {
					raw = append(raw, 0)
				}
				if m[y][x] != mask(y, x) {
					raw[bits/8] |= 0x80 >> (bits % 8)
				}
				bits++
			}
		}
		up = !up
	}
	return readBytes(t, version, deinterleave(shape.blocks, raw))
}

// checkPatterns looks for the finder patterns with their separators, and for the
// timing patterns.
func checkPatterns(t *testing.T, m modules) {
	t.Helper()
	size := len(m)
	for _, corner := range [][2]int{{3, 3}, {size - 4, 3}, {3, size - 4}} {
		for y := max(0, corner[1]-4); y < min(size, corner[1]+5); y++ {
			for x := max(0, corner[0]-4); x < min(size, corner[0]+5); x++ {
				ring := max(abs(x-corner[0]), abs(y-corner[1]))
				if dark := ring != 2 && ring != 4; m[y][x] != dark {
					t.Fatalf("the finder pattern at %v is broken at %d, %d", corner, x, y)
				}
			}
		}
	}
	for i := 8; i < size-8; i++ {
		if m[6][i] != (i%2 == 0) || m[i][6] != (i%2 == 0) {
			t.Fatalf("the timing pattern is broken at %d", i)
		}
	}
}

func abs(n int) int { return max(n, -n) }

// readFormat returns the mask, from the format information at the finder pattern
// in the upper left corner (section 7.9). The level must be M.
func readFormat(t *testing.T, m modules) (mask int) {
	t.Helper()
	format := 0
	for i := range 15 {
		x, y := i, 8
		switch {
		case i == 6:
			x = 7
		case i == 7:
			x = 8
		case i == 8:
			x, y = 8, 7
		case i > 8:
			x, y = 8, 14-i
		}
		format <<= 1
		if m[y][x] {
			format |= 1
		}
	}
	format ^= 0b101010000010010
	if level := format >> 13; level != 0 {
		t.Fatalf("level %02b, want 00 for M", level)
	}
	return format >> 10 & 7
}

// isFunction tells whether a module belongs to a pattern, to the format or to
// the version information.
func isFunction(shape qrShape, size, x, y int) bool {
	near, far := 9, size-8
	if x == 6 || y == 6 || x < near && y < near || x >= far && y < near || x < near && y >= far {
		return true
	}
	if size >= 45 && (x < 6 && y >= size-11 || y < 6 && x >= size-11) { // version 7
		return true
	}
	last := size - 7
	for _, ay := range shape.alignment {
		for _, ax := range shape.alignment {
			corner := ax == 6 && ay == 6 || ax == 6 && ay == last || ax == last && ay == 6
			if !corner && abs(x-ax) <= 2 && abs(y-ay) <= 2 {
				return true
			}
		}
	}
	return false
}

// deinterleave puts the data of the blocks one behind the other; what follows is
// for the correction of errors.
func deinterleave(lengths []int, raw []byte) (data []byte) {
	blocks := make([][]byte, len(lengths))
	for i := range lengths[len(lengths)-1] { // the longest are last
		for b, n := range lengths {
			if i < n {
				blocks[b] = append(blocks[b], raw[0])
				raw = raw[1:]
			}
		}
	}
	return bytes.Join(blocks, nil)
}

// readBytes reads the one segment of bytes (section 7.4.5).
func readBytes(t *testing.T, version int, data []byte) string {
	t.Helper()
	if mode := data[0] >> 4; mode != 4 {
		t.Fatalf("mode %04b, want 0100 for bytes", mode)
	}
	shifted := make([]byte, len(data)-1)
	for i := range shifted {
		shifted[i] = data[i]<<4 | data[i+1]>>4
	}
	n, text := int(shifted[0]), shifted[1:]
	if version >= 10 {
		n, text = n<<8|int(shifted[1]), shifted[2:]
	}
	if n > len(text) {
		t.Fatalf("%d bytes in a code that has %d", n, len(text))
	}
	return string(text[:n])
}

func TestRoomQR(t *testing.T) {
	cfg := publicConfig()
	cfg.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	s := run(t, cfg)
	longHost := strings.Repeat(strings.Repeat("h", 49)+".", 5) + "com"
	longRoom := strings.Repeat("r", maxRoomName)
	for _, tt := range []struct {
		name, room string
		headers    []string
		want       string
	}{
		{"a name", "tea", []string{"Host: call.example.com"}, "http://call.example.com/r/tea"},
		{"a port", "tea", []string{"Host: localhost:8080"}, "http://localhost:8080/r/tea"},
		{"an address", "Tea_room-2", []string{"Host: 192.0.2.1:8080"}, "http://192.0.2.1:8080/r/Tea_room-2"},
		{"IPv6", "tea", []string{"Host: [2001:db8::1]:8443", "X-Forwarded-Proto: https"}, "https://[2001:db8::1]:8443/r/tea"},
		{"IPv6 without a port", "tea", []string{"Host: [2001:db8::1]"}, "http://[2001:db8::1]/r/tea"},
		{"behind a proxy", "blue-otter", []string{"Host: call.example.com", "X-Forwarded-Proto: https"}, "https://call.example.com/r/blue-otter"},
		{"the query is not part of it", "tea?token=secret", []string{"Host: call.example.com"}, "http://call.example.com/r/tea"},
		{"the longest", longRoom, []string{"Host: " + longHost + ":65535", "X-Forwarded-Proto: https"}, "https://" + longHost + ":65535/r/" + longRoom},
	} {
		t.Run(tt.name, func(t *testing.T) {
			room, query, _ := strings.Cut(tt.room, "?")
			got := ask(t, "GET", s.url("/r/"+room+"/qr.svg?"+query), "", tt.headers...)
			if got.status != 200 || got.header.Get("Content-Type") != "image/svg+xml" || !strings.HasPrefix(got.header.Get("Cache-Control"), "private") {
				t.Fatalf("%d %v %s", got.status, got.header, got.body)
			}
			checkHeaders(t, got)
			checkLink(t, got.body, tt.want)
		})
	}
}

func TestRoomQROverTLS(t *testing.T) {
	cfg := publicConfig()
	cfg.SecureListen = "127.0.0.1:0"
	s := run(t, cfg)
	got := askThrough(t, over(), "GET", s.secureURL("/r/tea/qr.svg"), "", "Host: "+testDomain)
	checkLink(t, got.body, "https://"+testDomain+"/r/tea")
}

// checkLink compares a picture with what the library makes of the link, and reads
// it.
func checkLink(t *testing.T, svg, link string) {
	t.Helper()
	drawn := readSVG(t, svg)
	code, err := qr.Encode(link, qr.M)
	if err != nil {
		t.Fatal(err)
	}
	if len(drawn) != code.Size {
		t.Fatalf("%d modules, want %d", len(drawn), code.Size)
	}
	for y, row := range drawn {
		for x, dark := range row {
			if dark != code.Black(x, y) {
				t.Fatalf("module %d, %d is not as the library has it", x, y)
			}
		}
	}
	if got := readQR(t, drawn); got != link {
		t.Errorf("it says %q, want %q", got, link)
	}
}

func TestNoRoomQR(t *testing.T) {
	s := run(t, publicConfig())
	for _, tt := range []struct {
		name, room, host, code string
		status                 int
	}{
		{"too long", strings.Repeat("r", maxRoomName+1), "h.example", "not_found", 404},
		{"with a dot", "a.b", "h.example", "not_found", 404},
		{"with markup", "%3Csvg%3E", "h.example", "not_found", 404},
		{"beyond ASCII", "caf%C3%A9", "h.example", "not_found", 404},
		{"port that is none", "tea", "h.example:0", "bad_host", 400},
		{"port that is too large", "tea", "h.example:65536", "bad_host", 400},
		{"empty port", "tea", "h.example:", "bad_host", 400},
		{"host that is none", "tea", "h_.example", "bad_host", 400},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := ask(t, "GET", s.url("/r/"+tt.room+"/qr.svg"), "", "Host: "+tt.host, "Accept: text/html")
			if got.status != tt.status || !strings.Contains(got.body, `"code":"`+tt.code) || got.header.Get("Cache-Control") != "no-store" {
				t.Errorf("%d %v %s, want %d %s", got.status, got.header, got.body, tt.status, tt.code)
			}
			checkHeaders(t, got)
		})
	}
}
