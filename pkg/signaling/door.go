package signaling

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/netip"
	"slices"
	"time"
)

// door is who may come into a room. The zero value is open.
type door struct {
	locked, knock bool
	password      *[sha256.Size]byte // of its hash; nil: there is none
	maxMembers    int                // 0: as many as the server allows
}

// askLocked reports whether the join may go on, and whether it must wait to be let in.
func (r *room) askLocked(c *conn, j *Join, t *ticket) (wait bool, err error) {
	if len(r.members) >= r.maxMembersLocked() {
		return false, errRoomFull
	}
	if t.role() != RoleModerator {
		if r.door.locked && !r.door.knock {
			return false, errRoomLocked
		}
		wait = r.door.locked
	}
	if t == nil {
		if err := r.checkPasswordLocked(c.ip, j.Password); err != nil {
			return false, err
		}
	}
	if wait && r.crowdedLocked(c.ip) {
		return false, errDoorCrowded
	}
	return wait, r.hub.tickets.use(t)
}

// crowdedLocked reports whether all places at the door are taken, or half of them from this one address.
func (r *room) crowdedLocked(ip netip.Addr) bool {
	same := 0
	for _, w := range r.waiting {
		if key(w.conn.ip) == key(ip) {
			same++
		}
	}
	most := r.hub.opts.WaitingPerRoom
	return len(r.waiting) >= most || same >= most-most/2
}

func (r *room) checkPasswordLocked(ip netip.Addr, password string) error {
	switch {
	case r.door.password == nil:
		return nil
	case password == "": // is no guess
		return errNoPassword
	case !r.hub.addresses.mayTryPassword(ip):
		return errTooManyPasswords
	}
	sum := sha256.Sum256([]byte(password))
	if subtle.ConstantTimeCompare(sum[:], r.door.password[:]) != 1 {
		r.hub.addresses.failedPassword(ip)
		return errWrongPassword
	}
	return nil
}

func (r *room) maxMembersLocked() int {
	if r.door.maxMembers > 0 {
		return min(r.door.maxMembers, r.hub.opts.MaxMembers)
	}
	return r.hub.opts.MaxMembers
}

func (r *room) infoLocked() Room {
	return Room{
		ID: r.name, Locked: r.door.locked, Knock: r.door.knock, Password: r.door.password != nil, MaxMembers: r.maxMembersLocked(),
	}
}

// knockLocked has m wait at the door and tells the moderators.
func (r *room) knockLocked(m *member) {
	m.since = time.Now()
	r.waiting = append(r.waiting, m)
	r.hub.metrics.waiting.Add(1)
	m.expiry.set(r.hub.opts.KnockTimeout, func() { r.giveUp(m) })
	for _, o := range r.members {
		r.tellWhoWaitsLocked(o)
	}
}

// tellWhoWaitsLocked tells a moderator of those at the door that it has not heard of. One whose connection is lost hears of them when
// it is back: strangers who come and go must not fill its inbox.
func (r *room) tellWhoWaitsLocked(moderator *member) {
	if !moderator.moderates() || moderator.conn == nil {
		return
	}
	for _, w := range r.waiting {
		if moderator.heard[w.id] {
			continue
		}
		if moderator.heard == nil {
			moderator.heard = map[string]bool{}
		}
		moderator.heard[w.id] = true
		r.publishLocked("", moderator.id, &Knock{Member: w.info()})
	}
}

// tellAgain tells a moderator that is back of those who wait: all of them, when it cannot say what it has heard.
func (r *room) tellAgain(m *member, all bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if all {
		m.heard = nil
	}
	r.tellWhoWaitsLocked(m)
}

// giveUp sends away one who has waited too long.
func (r *room) giveUp(m *member) {
	r.command(func() {
		if m.left == "" && !m.seated.Load() {
			r.leaveDoorLocked(m, ReasonTimeout, causeNotAdmitted)
		}
	})
}

// leaveDoorLocked takes away one who waits, and tells the moderators.
func (r *room) leaveDoorLocked(m *member, reason Reason, why cause) {
	for _, o := range r.members {
		if o.heard[m.id] {
			r.publishLocked("", o.id, &MemberLeft{Member: m.id, Reason: reason})
		}
	}
	r.turnAwayLocked(m, reason, why)
}

func (r *room) turnAwayLocked(m *member, reason Reason, why cause) {
	m.left = reason
	r.fromDoorLocked(m)
	m.expiry.stop()
	r.gone = append(r.gone, departure{member: m, conn: m.conn, why: why})
}

func (r *room) fromDoorLocked(m *member) {
	r.waiting = slices.DeleteFunc(r.waiting, func(o *member) bool { return o == m })
	for _, o := range r.members {
		delete(o.heard, m.id)
	}
	r.hub.metrics.waiting.Add(-1)
}

// abandonLocked sends away those who wait at a room that nobody is in any more. Whoever comes next finds an open door.
func (r *room) abandonLocked() {
	for _, w := range slices.Clone(r.waiting) {
		r.turnAwayLocked(w, ReasonLeft, causeNotAdmitted)
	}
	r.door = door{}
}

// moderate does what only moderators may. Whoever has left already is not told anything any more.
func (r *room) moderate(m *member, do func() error) (err error) {
	r.command(func() {
		switch {
		case m.left != "":
		case !m.moderates():
			err = errNotModerator
		default:
			err = do()
		}
	})
	return err
}

func (r *room) kick(by *member, k *Kick) error {
	return r.moderate(by, func() error {
		m := r.byIDLocked(k.Member)
		if m == nil || m == by {
			return errNoSuchMember
		}
		r.kickLocked(m, k.Reason)
		return nil
	})
}

func (r *room) lock(by *member, l *Lock) error {
	return r.moderate(by, func() error {
		r.changeLocked(func() { r.door.locked, r.door.knock = l.Locked, l.Knock })
		return nil
	})
}

func (r *room) setPassword(by *member, p *Password) error {
	return r.moderate(by, func() error {
		r.changeLocked(func() {
			r.door.password = nil
			if p.Password != "" {
				sum := sha256.Sum256([]byte(p.Password))
				r.door.password = &sum
			}
		})
		return nil
	})
}

func (r *room) limit(by *member, l *Limit) error {
	return r.moderate(by, func() error {
		r.changeLocked(func() { r.door.maxMembers = l.MaxMembers })
		return nil
	})
}

// changeLocked changes the door and tells everybody, if there is something to tell. Whoever may come in now does.
func (r *room) changeLocked(change func()) {
	before := r.infoLocked()
	change()
	if after := r.infoLocked(); after != before {
		r.publishLocked("", "", &RoomChanged{Room: after})
	}
	r.letInLocked()
}

// letInLocked seats those who wait before an open door, as far as there is room.
func (r *room) letInLocked() {
	for !r.door.locked && len(r.waiting) > 0 && len(r.members) < r.maxMembersLocked() {
		r.admitLocked(r.waiting[0])
	}
}

func (r *room) admit(by *member, a *Admit) error {
	return r.moderate(by, func() error {
		switch w := r.waitingLocked(a.Member); {
		case w == nil:
			return errNotWaiting
		case len(r.members) >= r.maxMembersLocked():
			return errRoomFull
		default:
			r.admitLocked(w)
			return nil
		}
	})
}

func (r *room) admitLocked(w *member) {
	r.fromDoorLocked(w)
	w.expiry.clear()
	r.seatLocked(w)
}

func (r *room) deny(by *member, d *Deny) error {
	return r.moderate(by, func() error {
		w := r.waitingLocked(d.Member)
		if w == nil {
			return errNotWaiting
		}
		r.leaveDoorLocked(w, ReasonDenied, causeDenied)
		return nil
	})
}

func (r *room) waitingLocked(id string) *member {
	for _, w := range r.waiting {
		if w.id == id {
			return w
		}
	}
	return nil
}
