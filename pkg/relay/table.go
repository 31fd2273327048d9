package relay

import (
	"encoding/binary"
	"hash/maphash"
	"net/netip"
	"sync"
	"sync/atomic"
)

// table finds sessions by address. Readers take no lock: every bucket is the head of a chain of immutable nodes. A sync.Map would
// allocate for each look-up, since its keys are interfaces.
type table struct {
	seed    maphash.Seed // chosen at random, so that nobody can aim addresses at one bucket
	buckets atomic.Pointer[[]atomic.Pointer[node]]
	mu      sync.Mutex // held by writers
	size    int        // guarded by mu
}

type node struct {
	key     netip.AddrPort
	session *Session
	next    *node
}

const minBuckets = 64

func (t *table) init() {
	t.seed = maphash.MakeSeed()
	b := make([]atomic.Pointer[node], minBuckets)
	t.buckets.Store(&b)
}

func (t *table) bucket(buckets []atomic.Pointer[node], key netip.AddrPort) *atomic.Pointer[node] {
	var b [18]byte
	a := key.Addr().As16()
	copy(b[:], a[:])
	binary.BigEndian.PutUint16(b[16:], key.Port())
	return &buckets[maphash.Bytes(t.seed, b[:])&uint64(len(buckets)-1)]
}

// get returns nil when there is no session for key.
func (t *table) get(key netip.AddrPort) *Session {
	for n := t.bucket(*t.buckets.Load(), key).Load(); n != nil; n = n.next {
		if n.key == key {
			return n.session
		}
	}
	return nil
}

// put adds a session under a key that is free.
func (t *table) put(key netip.AddrPort, s *Session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	buckets := *t.buckets.Load()
	if t.size >= 2*len(buckets) {
		buckets = t.growLocked(buckets)
	}
	b := t.bucket(buckets, key)
	b.Store(&node{key, s, b.Load()})
	t.size++
}

func (t *table) growLocked(old []atomic.Pointer[node]) []atomic.Pointer[node] {
	grown := make([]atomic.Pointer[node], 2*len(old))
	for i := range old {
		for n := old[i].Load(); n != nil; n = n.next {
			b := t.bucket(grown, n.key)
			b.Store(&node{n.key, n.session, b.Load()})
		}
	}
	t.buckets.Store(&grown)
	return grown
}

// remove takes s out; a different session under the same key stays.
func (t *table) remove(key netip.AddrPort, s *Session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	b := t.bucket(*t.buckets.Load(), key)
	var kept *node
	for n := b.Load(); n != nil; n = n.next {
		if n.key == key && n.session == s {
			t.size--
			continue
		}
		kept = &node{n.key, n.session, kept}
	}
	b.Store(kept)
}

// all returns every session at some moment during the call.
func (t *table) all() []*Session {
	var out []*Session
	buckets := *t.buckets.Load()
	for i := range buckets {
		for n := buckets[i].Load(); n != nil; n = n.next {
			out = append(out, n.session)
		}
	}
	return out
}
