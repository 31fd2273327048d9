package certificate

import (
	"crypto/x509"
	"math"
	"time"
)

const day = 24 * time.Hour

// expiry is how near a certificate is to its end.
type expiry int

const (
	fresh expiry = iota
	soon
	verySoon
	over
	early // its time has not come yet
)

// expiryOf warns 14 days before the end and is alarmed 3 days before. Certificates that live for days only are renewed later than
// that, so what counts is never more than a third, or a tenth, of the lifetime.
func expiryOf(leaf *x509.Certificate, now time.Time) expiry {
	lifetime, left := leaf.NotAfter.Sub(leaf.NotBefore), leaf.NotAfter.Sub(now)
	switch {
	case now.Before(leaf.NotBefore):
		return early
	case left <= 0:
		return over
	case left < min(3*day, lifetime/10):
		return verySoon
	case left < min(14*day, lifetime/3):
		return soon
	}
	return fresh
}

// daysLeft rounds down: 0 is the last day, negative numbers are days since the end.
func daysLeft(leaf *x509.Certificate, now time.Time) int {
	return int(math.Floor(leaf.NotAfter.Sub(now).Hours() / 24))
}

// reminder keeps a state from being mentioned more than once a day.
type reminder struct {
	state expiry
	at    time.Time
}

// due tells whether state is to be mentioned now, and takes it as mentioned.
func (r *reminder) due(state expiry, now time.Time) bool {
	if state == r.state && (state == fresh || now.Sub(r.at) < day) {
		return false
	}
	*r = reminder{state, now}
	return state != fresh
}
