package turn

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/hex"
	"net/netip"
	"strings"
)

// nonceBinder ties the engine's nonces to the address that they were given to. Without that, whoever has a credential and a nonce
// could make allocations in the name of any UDP address that it forges. The mark is one block of AES under a random key: an address
// is just as long, and nobody can tell the block of another one.
type nonceBinder struct{ block cipher.Block }

func newNonceBinder() nonceBinder {
	var key [16]byte
	rand.Read(key[:]) // never fails, see its documentation
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic(err) // only for a key of another length
	}
	return nonceBinder{block}
}

func (n *nonceBinder) mark(client netip.Addr) string {
	ip := client.As16()
	n.block.Encrypt(ip[:], ip[:])
	return hex.EncodeToString(ip[:8])
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
