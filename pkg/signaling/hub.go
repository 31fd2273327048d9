package signaling

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Hub is the rooms of this node and the connections to them.
type Hub struct {
	// Fixed after construction.
	opts      Options
	addresses *addresses
	metrics   *metrics
	told      *told
	origins   atomic.Pointer[[]string] // as Options.AllowedOrigins

	tasks  sync.WaitGroup // connections and seats that wait for theirs
	banned banned

	mu       sync.Mutex
	rooms    map[string]*room
	conns    map[*conn]struct{}
	draining bool
	closed   bool
}

// RoomInfo describes a room to the administrator.
type RoomInfo struct {
	Name    string       `json:"name"`
	Since   time.Time    `json:"since"`
	Members []MemberInfo `json:"members"`
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
		opts:      opts,
		addresses: newAddresses(opts.ConnectionsPerIP, opts.JoinsPerIP),
		metrics:   newMetrics(),
		told:      newTold(opts.RoomPermissions, opts.AddressesPerMember),
		rooms:     make(map[string]*room),
		conns:     make(map[*conn]struct{}),
	}
	h.SetAllowedOrigins(opts.AllowedOrigins)
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
		}
	}
}

// ServeHTTP upgrades the request to a WebSocket and returns; the connection goes on until Close.
func (h *Hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h.isClosed() {
		problem(w, http.StatusServiceUnavailable, "the server is shutting down")
		return
	}
	ws, nc, err := h.accept(w, r)
	if err != nil {
		h.opts.Log.Debug("WebSocket refused", "err", err)
		return
	}
	c := newConn(h, ws, nc, h.opts.ClientIP(r), r.Host)
	if !h.track(c) {
		_ = ws.CloseNow()
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
		r.close(causeShutdown)
	}
	for _, c := range conns {
		c.finish(causeShutdown)
	}
	done := make(chan struct{})
	go func() {
		h.tasks.Wait()
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

// Kick removes a member from a room, with a reason for it to read. It reports whether the member was there.
func (h *Hub) Kick(room, member, reason string) bool {
	h.mu.Lock()
	r := h.rooms[room]
	h.mu.Unlock()
	if r == nil {
		return false
	}
	return r.remove(member, ReasonKicked, cause{
		metric: "kicked", code: CloseKicked, text: "kicked", last: mustEncode(&Kicked{Reason: reason}),
	})
}

// Metrics returns the collector of the hub's metrics.
func (h *Hub) Metrics() prometheus.Collector { return h.metrics }

// serve counts the connection with its address and runs it.
func (c *conn) serve() {
	h := c.hub
	defer h.untrack(c)
	if h.addresses.connect(c.ip) {
		defer h.addresses.disconnect(c.ip)
		c.alarm.set(h.opts.JoinTimeout, func() { c.finish(causeNoJoin) })
	} else {
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
	h.mu.Lock()
	delete(h.conns, c)
	h.mu.Unlock()
	h.tasks.Done()
}

// join seats the connection in the room that it asks for, which is made if need be.
func (h *Hub) join(c *conn, j *Join) (*member, view, error) {
	if h.banned.has(j.Resume) {
		return nil, view{}, errRemoved
	}
	for {
		r, err := h.room(j.Room)
		if err != nil {
			return nil, view{}, err
		}
		m, v, err := r.join(c, j)
		if errors.Is(err, errRoomGone) {
			continue // the last member left meanwhile; the next look finds another room or none
		}
		if err == nil {
			h.opts.Log.Info("member joined", "room", r.name, "member", m.id)
		}
		return m, v, err
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
	var used Traffic
	if m.lease.end() && h.opts.Releaser != nil {
		used = h.opts.Releaser.Release(m.id)
	}
	m.room.settle(used)
	line := []any{"room", m.room.name, "member", m.id, "reason", string(m.left), "lasted", time.Since(m.since).Round(time.Millisecond)}
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
	info := RoomInfo{Name: r.name, Since: r.since, Members: make([]MemberInfo, 0, len(r.members)), Departed: r.departed}
	for _, m := range r.members {
		info.Members = append(info.Members, MemberInfo{
			ID: m.id, Name: m.name, Role: m.role, Since: m.since, Connected: m.conn != nil,
		})
	}
	return info
}
