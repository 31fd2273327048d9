package turn

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"net/netip"
)

// nonceBinder ties the engine's nonces to the address that they were given to. Without that, whoever has a credential and a nonce
// could make allocations in the name of any UDP address that it forges. The mark is the CBC-MAC, under a random AES key, of two blocks: the address,
// and the first bytes of the nonce, which are its time.
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

func (n *nonceBinder) mark(nonce []byte, client netip.Addr) string {
	mac := client.As16()
	n.block.Encrypt(mac[:], mac[:])
	subtle.XORBytes(mac[:], mac[:], nonce[:min(len(nonce), len(mac))])
	n.block.Encrypt(mac[:], mac[:])
	return hex.EncodeToString(mac[:markSize/2])
}

// markSize is the length of a mark in hexadecimal digits.
const markSize = 16

// bind makes the nonce that client is told.
func (n *nonceBinder) bind(nonce []byte, client netip.Addr) []byte {
	return append(append([]byte(nil), nonce...), n.mark(nonce, client)...)
}

// unbind returns the engine's nonce, or "" when client was given another one; the engine calls that stale.
func (n *nonceBinder) unbind(nonce string, client netip.Addr) string {
	inner := nonce[:max(0, len(nonce)-markSize)]
	if subtle.ConstantTimeCompare([]byte(nonce[len(inner):]), []byte(n.mark([]byte(inner), client))) == 0 {
		return ""
	}
	return inner
}
