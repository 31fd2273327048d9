package certificate

import (
	"crypto/x509"
	"testing"
	"time"
)

func TestExpiry(t *testing.T) {
	now := time.Now()
	for _, test := range []struct {
		name       string
		begin, end time.Duration // from now
		want       expiry
		days       int
	}{
		{"new", -time.Hour, 90 * day, fresh, 90},
		{"renewed in time", -60 * day, 30 * day, fresh, 30},
		{"13 days", -77 * day, 13 * day, soon, 13},
		{"2 days", -88 * day, 2 * day, verySoon, 2},
		{"last hour", -90 * day, time.Hour, verySoon, 0},
		{"at the end", -90 * day, 0, over, 0},
		{"over for an hour", -90 * day, -time.Hour, over, -1},
		{"tomorrow", day, 90 * day, early, 90},
		{"six days of life, new", 0, 6 * day, fresh, 6},
		{"six days of life, renewal due", -4*day - time.Hour, 2*day - time.Hour, soon, 1},
		{"six days of life, last hours", -5*day - 12*time.Hour, 12 * time.Hour, verySoon, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			leaf := &x509.Certificate{NotBefore: now.Add(test.begin), NotAfter: now.Add(test.end)}
			if got := expiryOf(leaf, now); got != test.want {
				t.Errorf("state %d, want %d", got, test.want)
			}
			if got := daysLeft(leaf, now); got != test.days {
				t.Errorf("%d days left, want %d", got, test.days)
			}
		})
	}
}

func TestReminder(t *testing.T) {
	var r reminder
	begin := time.Now()
	for i, step := range []struct {
		after time.Duration
		state expiry
		want  bool
	}{
		{0, fresh, false},
		{0, soon, true},
		{time.Hour, soon, false},
		{23 * time.Hour, soon, false},
		{24 * time.Hour, soon, true},
		{25 * time.Hour, verySoon, true}, // worse is told at once
		{26 * time.Hour, verySoon, false},
		{27 * time.Hour, fresh, false},
		{28 * time.Hour, verySoon, true}, // another certificate
	} {
		if got := r.due(step.state, begin.Add(step.after)); got != step.want {
			t.Errorf("step %d: due %v", i, got)
		}
	}
}
