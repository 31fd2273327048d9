package httpd

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"

	"rsc.io/qr"
)

// quietZone is the light margin that scanners need around a code, in modules
// (ISO/IEC 18004).
const quietZone = 4

// roomQR draws the room's link for a phone that is to go on with the call. It is
// the link by which the page was asked for: another name or scheme might not
// reach this server.
func (s *Server) roomQR(w http.ResponseWriter, r *http.Request) {
	room := r.PathValue("room")
	if !isRoomName(room) {
		writeProblem(w, http.StatusNotFound, "not_found",
			fmt.Sprintf("There is no such room: a room's name is 1 to %d of the characters A-Z a-z 0-9 - _.", maxRoomName))
		return
	}
	base := s.base(r)
	if base == "" {
		writeProblem(w, http.StatusBadRequest, "bad_host", "The Host header names no host that a link could lead to.")
		return
	}
	code, err := qr.Encode(base+"/r/"+room, qr.M)
	if err != nil {
		writeProblem(w, http.StatusInternalServerError, "internal", "The room's link could not be drawn: "+err.Error())
		return
	}
	h := w.Header()
	h.Set("Content-Type", mimeTypes[".svg"])
	// Whoever has the link may enter the room: it is for no shared cache.
	h.Set("Cache-Control", "private, max-age=3600")
	_, _ = w.Write(drawQR(code))
}

// base is scheme, host and port as the client wrote them, or "" when these are
// none of a server.
func (s *Server) base(r *http.Request) string {
	host, port := HostName(r.Host), ""
	if host == "" {
		return ""
	}
	if _, given, err := net.SplitHostPort(r.Host); err == nil {
		n, err := strconv.ParseUint(given, 10, 16)
		if err != nil || n == 0 {
			return ""
		}
		port = fmt.Sprint(":", n)
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.Is6() {
		host = "[" + host + "]"
	}
	scheme := "http://"
	if Secure(r, s.cfg.TrustedProxies) {
		scheme = "https://"
	}
	return scheme + host + port
}

// drawQR makes an SVG picture in which a module has the size 1: one path of the
// runs of dark ones in each row, on white whatever is behind the picture.
func drawQR(code *qr.Code) []byte {
	var b strings.Builder
	side := code.Size + 2*quietZone
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %[1]d" shape-rendering="crispEdges"><rect width="%[1]d" height="%[1]d" fill="#fff"/><path d="`, side)
	for y := range code.Size {
		for x := 0; x < code.Size; x++ {
			begin := x
			for code.Black(x, y) {
				x++
			}
			if x > begin {
				fmt.Fprintf(&b, "M%d %dh%dv1h-%[3]dz", begin+quietZone, y+quietZone, x-begin)
			}
		}
	}
	b.WriteString(`"/></svg>` + "\n")
	return []byte(b.String())
}
