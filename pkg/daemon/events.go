package daemon

import (
	"github.com/maitred/maitred/pkg/signaling"
	"github.com/maitred/maitred/pkg/webhook"
)

// observer is nobody where there are no webhooks.
func (d *Daemon) observer() signaling.Observer {
	if d.webhooks == nil {
		return nil
	}
	return hooks{d.webhooks}
}

// hooks passes on what happens in rooms.
type hooks struct{ sender *webhook.Sender }

// Observe implements signaling.Observer.
func (h hooks) Observe(e signaling.Event) {
	out := webhook.Event{Type: webhook.Type(e.Type), Time: e.Time, Room: webhook.Room{Name: e.Room, ID: e.RoomID}, Reason: string(e.Reason)}
	if m := e.Member; m != nil {
		out.Member = &webhook.Member{ID: m.ID, Name: m.Name, Role: string(m.Role)}
	}
	if e.Type == signaling.MemberGone || e.Type == signaling.RoomEnded {
		out.Ended = &webhook.Ended{
			DurationMS: e.Duration.Milliseconds(), Peak: e.Peak,
			Relayed: webhook.Relayed{Up: e.Relayed.Up.Bytes, Down: e.Relayed.Down.Bytes, ShortCircuit: e.Relayed.ShortCircuit.Bytes},
		}
	}
	h.sender.Send(out)
}
