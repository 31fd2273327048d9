package signaling

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/maitred/maitred/pkg/token"
)

// Hub is the rooms of this node and the connections to them.
type Hub struct {
	// Fixed after construction.
	opts      Options
	addresses *addresses
	metrics   *metrics
	told      *told
	tickets   *tickets
	origins   atomic.Pointer[[]string] // as Options.AllowedOrigins
	tokenKeys atomic.Pointer[token.Keys]

	tasks  sync.WaitGroup // connections and seats that wait for theirs
	banned banned

	loops    loops
	outgoing outgoing

	mu       sync.Mutex
	rooms    map[string]*room
	conns    map[*conn]struct{}
	draining bool
	closed   bool
}

// RoomInfo describes a room to the administrator.
type RoomInfo struct {
	Name  string    `json:"name"`
	ID    string    `json:"id"` // of this life of the room
	Since time.Time `json:"since"`

	Locked     bool `json:"locked"`
	Knock      bool `json:"knock"`
	Password   bool `json:"password"`
	MaxMembers int  `json:"max_members"`

	Members []MemberInfo `json:"members"`
	Waiting []MemberInfo `json:"waiting"` // to be let in
	// Departed is what those relayed who have left since the room began.
	Departed Traffic `json:"-"`
}

// MemberInfo describes a member to the administrator.
type MemberInfo struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Role      Role      `json:"role"`
	Since     time.Time `json:"since"`
	Connected bool      `json:"connected"` // false: its connection is lost, its seat kept
}

// New returns a hub that serves at once. Close ends it.
func New(opts Options) *Hub {
	opts = opts.withDefaults()
	h := &Hub{
		opts: opts,
		addresses: newAddresses(addressLimits{
			conns: opts.ConnectionsPerIP, joins: opts.JoinsPerIP, messages: opts.MessagesPerIP,
			failedPasswords: opts.FailedPasswordsPerIP, failedTokens: opts.FailedTokensPerIP,
		}),
		tickets: newTickets(opts.RememberedTokens),
		metrics: newMetrics(),
		told:    newTold(opts.RoomPermissions, opts.AddressesPerMember),
		rooms:   make(map[string]*room),
		conns:   make(map[*conn]struct{}),
	}
	h.SetAllowedOrigins(opts.AllowedOrigins)
	h.SetTokenKeys(opts.Tokens)
	return h
}

// SetAllowedOrigins replaces Options.AllowedOrigins for connections from now on.
func (h *Hub) SetAllowedOrigins(patterns []string) { h.origins.Store(&patterns) }

// Run does the hub's housekeeping until ctx ends. It always returns nil; it does not close the hub.
func (h *Hub) Run(ctx context.Context) error {
	t := time.NewTicker(time.Minute)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
			h.addresses.sweep()
			h.tickets.sweep()
		}
	}
}

// ServeHTTP upgrades the request to a WebSocket and returns; the connection goes on until Close.
func (h *Hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h.isClosed() {
		problem(w, http.StatusServiceUnavailable, "the server is shutting down")
		return
	}
	c, err := h.accept(w, r)
	if err != nil {
		h.opts.Log.Debug("WebSocket refused", "err", err)
		return
	}
	if !h.track(c) {
		_ = c.ws.CloseNow()
		return
	}
	go c.serve()
}

// Drain tells every member that the server is about to stop and lets nobody join any more.
func (h *Hub) Drain() {
	h.mu.Lock()
	h.draining = true
	rooms := h.roomsLocked()
	h.mu.Unlock()
	for _, r := range rooms {
		r.drain()
	}
}

// Close ends every connection with 1001, releases all members, and waits until everything the hub started has ended.
// When ctx ends first, it cuts the connections that are left and returns ctx's error.
func (h *Hub) Close(ctx context.Context) error {
	h.mu.Lock()
	h.draining, h.closed = true, true
	rooms := h.roomsLocked()
	conns := h.connsLocked()
	h.mu.Unlock()
	for _, r := range rooms {
		r.close(reasonShutdown, causeShutdown)
	}
	for _, c := range conns {
		c.finish(causeShutdown)
	}
	done := make(chan struct{})
	go func() {
		h.tasks.Wait()
		h.loops.close()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	for _, c := range conns {
		_ = c.net.Close()
	}
	<-done
	return ctx.Err()
}

// Rooms lists the rooms by name.
func (h *Hub) Rooms() []RoomInfo {
	h.mu.Lock()
	rooms := h.roomsLocked()
	h.mu.Unlock()
	infos := make([]RoomInfo, 0, len(rooms))
	for _, r := range rooms {
		infos = append(infos, r.describe())
	}
	slices.SortFunc(infos, func(a, b RoomInfo) int { return cmp.Compare(a.Name, b.Name) })
	return infos
}

// Room describes one room. It reports whether there is one of this name.
func (h *Hub) Room(name string) (RoomInfo, bool) {
	r := h.find(name)
	if r == nil {
		return RoomInfo{}, false
	}
	info := r.describe()
	return info, len(info.Members) > 0
}

// Kick removes a member from a room, with a reason for it to read, and refuses its join token from now on. It reports whether the
// member was there.
func (h *Hub) Kick(room, member, reason string) bool {
	r := h.find(room)
	return r != nil && r.remove(member, reason)
}

// CloseRoom removes everybody from a room, with a reason for them to read. It reports whether there was one of this name. The name can be
// used again, but not with the resume secrets and join tokens of those who were in it.
func (h *Hub) CloseRoom(room, reason string) bool {
	r := h.find(room)
	return r != nil && r.close(ReasonRoomClosed, causeKicked(reason))
}

// Send says something to a member of a room, or to all of them ("") in a message of type server-message. It returns ErrNoSuchRoom, ErrNoSuchMember, or an
// *InvalidDataError for what members could not send either.
func (h *Hub) Send(room, member string, data json.RawMessage) error {
	// Compact, since that is what a client gets.
	var compact bytes.Buffer
	switch {
	case json.Compact(&compact, data) != nil || !utf8.Valid(data):
		return &InvalidDataError{"data must be valid JSON"}
	case compact.Len() > MaxDataSize:
		return &InvalidDataError{fmt.Sprintf("data must be at most %d bytes", MaxDataSize)}
	case tooDeep(compact.Bytes(), MaxDepth-1):
		return &InvalidDataError{fmt.Sprintf("data must not be nested more than %d deep", MaxDepth-1)}
	}
	r := h.find(room)
	if r == nil {
		return ErrNoSuchRoom
	}
	return r.send(member, compact.Bytes())
}

func (h *Hub) find(room string) *room {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.rooms[room]
}

// Metrics returns the collector of the hub's metrics.
func (h *Hub) Metrics() prometheus.Collector { return h.metrics }

// serve counts the connection with its address and runs it.
func (c *conn) serve() {
	h := c.hub
	messages, ok := h.addresses.connect(c.ip)
	if ok {
		c.shared, c.counted = messages, true
		c.alarm.set(h.opts.JoinTimeout, func() { c.finish(causeNoJoin) })
	} else {
		c.shared = c.limiter
		// It is not counted, so it must be gone soon even if the client does not close it.
		c.alarm.set(time.Second, func() { _ = c.net.Close() })
		c.refuse(errTooManyConns, "")
	}
	c.run()
}

// track registers a connection, unless the hub is closed.
func (h *Hub) track(c *conn) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return false
	}
	h.conns[c] = struct{}{}
	h.tasks.Add(1)
	return true
}

func (h *Hub) untrack(c *conn) {
	if c.counted {
		h.addresses.disconnect(c.ip)
	}
	h.mu.Lock()
	delete(h.conns, c)
	h.mu.Unlock()
	h.tasks.Done()
}

// join seats the connection in the room that it asks for, which is made if need be.
func (h *Hub) join(c *conn, j *Join) (entry, error) {
	if h.banned.has(j.Resume) {
		return entry{}, errRemoved
	}
	if r := h.find(j.Room); r != nil && j.Resume != "" {
		if e, err := r.resume(c, j); e.member != nil || err != nil {
			return e, err
		}
	}
	t, err := h.ticketFor(c.ip, j)
	if err != nil {
		return entry{}, err
	}
	for {
		r, err := h.room(j.Room)
		if err != nil {
			return entry{}, err
		}
		e, err := r.join(c, j, t)
		if errors.Is(err, errRoomGone) {
			continue // the last member left meanwhile; the next look finds another room or none
		}
		return e, err
	}
}

// room returns the room of this name. A new one has no members yet and must get one, or be forgotten.
func (h *Hub) room(name string) (*room, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.draining {
		return nil, errDraining
	}
	if r := h.rooms[name]; r != nil {
		return r, nil
	}
	if len(h.rooms) >= h.opts.MaxRooms {
		return nil, errTooManyRooms
	}
	r, err := newRoom(h, name)
	if err != nil {
		return nil, err
	}
	h.rooms[name] = r
	h.metrics.rooms.Add(1)
	return r, nil
}

// forget drops a room that is empty.
func (h *Hub) forget(r *room) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if r.endIfEmpty() {
		delete(h.rooms, r.name)
		h.metrics.rooms.Add(-1)
	}
}

// release ends what the member was given and says what it had of it.
func (h *Hub) release(m *member) {
	if m.ticket != nil && m.banned && h.opts.Releaser != nil {
		h.opts.Releaser.Revoke(m.ticket.ID, m.ticket.Expires)
	}
	if !m.seated.Load() {
		h.opts.Log.Info("client at the door left", "room", m.room.name, "member", m.id, "reason", string(m.left))
		return
	}
	var used Traffic
	if m.lease.end() && h.opts.Releaser != nil {
		used = h.opts.Releaser.Release(m.id)
	}
	lasted := m.room.settle(m, used)
	line := []any{"room", m.room.name, "member", m.id, "reason", string(m.left), "lasted", lasted.Round(time.Millisecond)}
	if used != (Traffic{}) {
		line = append(line, "up_bytes", used.Up.Bytes, "down_bytes", used.Down.Bytes, "short_circuit_bytes", used.ShortCircuit.Bytes)
	}
	h.opts.Log.Info("member left", line...)
}

func (h *Hub) isClosed() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.closed
}

func (h *Hub) roomsLocked() []*room {
	rooms := make([]*room, 0, len(h.rooms))
	for _, r := range h.rooms {
		rooms = append(rooms, r)
	}
	return rooms
}

func (h *Hub) connsLocked() []*conn {
	conns := make([]*conn, 0, len(h.conns))
	for c := range h.conns {
		conns = append(conns, c)
	}
	return conns
}

// describe is the room as the administrator sees it.
func (r *room) describe() RoomInfo {
	r.mu.Lock()
	defer r.mu.Unlock()
	door := r.infoLocked()
	info := RoomInfo{
		Name: r.name, ID: r.id, Since: r.since,
		Locked: door.Locked, Knock: door.Knock, Password: door.Password, MaxMembers: door.MaxMembers,
		Members: []MemberInfo{}, Waiting: []MemberInfo{}, Departed: r.departed,
	}
	for _, m := range r.members {
		info.Members = append(info.Members, m.describe())
	}
	for _, w := range r.waiting {
		info.Waiting = append(info.Waiting, w.describe())
	}
	return info
}

// describe is the member as the administrator sees it. The caller holds the room's lock.
func (m *member) describe() MemberInfo {
	return MemberInfo{ID: m.id, Name: m.name, Role: m.role, Since: m.since, Connected: m.conn != nil}
}
