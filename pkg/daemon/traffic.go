package daemon

import (
	"github.com/maitred/maitred/pkg/relay"
	"github.com/maitred/maitred/pkg/signaling"
	"github.com/maitred/maitred/pkg/turn"
)

// traffic is what GET /api/v1/traffic answers; docs/operations.md describes it.
type traffic struct {
	Total      relay.Traffic            `json:"total"`
	Transports map[string]relay.Traffic `json:"transports"`
	Rooms      map[string]*roomTraffic  `json:"rooms"`
	Users      map[string]userTraffic   `json:"users"`
}

type roomTraffic struct {
	Members int `json:"members"`
	relay.Traffic
}

type userTraffic struct {
	Allocations int `json:"allocations"`
	membership
	relay.Traffic
}

// allocation is an entry of GET /api/v1/allocations.
type allocation struct {
	turn.Allocation
	membership
}

// membership says whom in which room a user of the relay is; it is empty for who is in none.
type membership struct {
	Room   string `json:"room,omitempty"`
	Member string `json:"member,omitempty"`
}

// memberships are those of everybody in rooms, by the id in their credentials.
func (d *Daemon) memberships(rooms []signaling.RoomInfo) map[string]membership {
	out := map[string]membership{}
	for _, r := range rooms {
		for _, m := range r.Members {
			out[d.authority.MemberID(m.ID)] = membership{r.Name, m.ID}
		}
	}
	return out
}

func (d *Daemon) allocations() []allocation {
	alive := d.turn.Allocations()
	members := d.memberships(d.hub.Rooms())
	out := make([]allocation, len(alive))
	for i, a := range alive {
		out[i] = allocation{a, members[a.User]}
	}
	return out
}

// traffic rolls the relay's accounts up. A room has what its members and those who have left it since it began relayed.
func (d *Daemon) traffic() traffic {
	usage, rooms := d.turn.Usage(), d.hub.Rooms()
	out := traffic{Transports: map[string]relay.Traffic{}, Rooms: map[string]*roomTraffic{}, Users: map[string]userTraffic{}}
	for t, carried := range usage.Transports {
		out.Transports[relay.Transport(t).String()] = carried
		out.Total.Add(carried)
	}
	for _, r := range rooms {
		out.Rooms[r.Name] = &roomTraffic{len(r.Members), fromSignaling(r.Departed)}
	}
	members := d.memberships(rooms)
	for user, u := range usage.Users {
		m := members[user]
		out.Users[user] = userTraffic{u.Allocations, m, u.Traffic}
		if r := out.Rooms[m.Room]; r != nil {
			r.Traffic.Add(u.Traffic)
		}
	}
	return out
}

func toSignaling(t relay.Traffic) signaling.Traffic {
	return signaling.Traffic{Up: signaling.Count(t.Up), Down: signaling.Count(t.Down), ShortCircuit: signaling.Count(t.ShortCircuit)}
}

func fromSignaling(t signaling.Traffic) relay.Traffic {
	return relay.Traffic{Up: relay.Count(t.Up), Down: relay.Count(t.Down), ShortCircuit: relay.Count(t.ShortCircuit)}
}
