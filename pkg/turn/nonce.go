package turn

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"strings"
)

// nonceBinder ties the engine's nonces to the address that they were given to. Without that, whoever has a credential and a nonce
// could make allocations in the name of any UDP address that it forges.
type nonceBinder [32]byte

func newNonceBinder() (n nonceBinder) {
	rand.Read(n[:]) // never fails, see its documentation
	return n
}

func (n *nonceBinder) mark(client netip.Addr) string {
	m := hmac.New(sha256.New, n[:])
	ip := client.As16()
	m.Write(ip[:])
	return hex.EncodeToString(m.Sum(nil)[:8])
}

// bind makes the nonce that client is told.
func (n *nonceBinder) bind(nonce []byte, client netip.Addr) []byte {
	return append(append([]byte(nil), nonce...), n.mark(client)...)
}

// unbind returns the engine's nonce, or "" when client was given another one; the engine calls that stale.
func (n *nonceBinder) unbind(nonce string, client netip.Addr) string {
	inner, ok := strings.CutSuffix(nonce, n.mark(client))
	if !ok {
		return ""
	}
	return inner
}
