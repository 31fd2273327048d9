package client

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/maitred/maitred/pkg/signaling"
)

// Signal sends data, encoded as JSON, to one member.
func (r *Room) Signal(ctx context.Context, to string, data any) error {
	raw, err := encodeData("data", data, signaling.MaxDataSize)
	if err != nil {
		return fmt.Errorf("signal: %w", err)
	}
	return r.send(ctx, &signaling.Signal{To: to, Data: raw})
}

// Broadcast sends data, encoded as JSON, to every other member.
func (r *Room) Broadcast(ctx context.Context, data any) error {
	raw, err := encodeData("data", data, signaling.MaxDataSize)
	if err != nil {
		return fmt.Errorf("broadcast: %w", err)
	}
	return r.send(ctx, &signaling.Broadcast{Data: raw})
}

// Update replaces this member's state, which must encode as a JSON object. A new seat after a lost one gets it as well.
func (r *Room) Update(ctx context.Context, state any) error {
	raw, err := encodeData("state", state, signaling.MaxStateSize)
	if err != nil {
		return fmt.Errorf("update: %w", err)
	}
	if raw[0] != '{' {
		return fmt.Errorf("update: the state must be an object, not %.20s", raw)
	}
	return r.send(ctx, &signaling.Update{State: raw})
}

// RefreshICE asks for a fresh credential. The answer is a *signaling.ICEServers among the events.
func (r *Room) RefreshICE(ctx context.Context) error { return r.send(ctx, &signaling.ICE{}) }

// AskRelay asks what the server's relay does for the members, at most once a second. The answer is a *signaling.RelayReport among the events;
// Relay has the newest one.
func (r *Room) AskRelay(ctx context.Context) error { return r.send(ctx, &signaling.Relay{}) }

// Kick removes a member. Only moderators may call this and what follows; others get the error not_allowed.
// reason, which the member is told, has at most 128 characters and may be empty.
func (r *Room) Kick(ctx context.Context, member, reason string) error {
	return r.send(ctx, &signaling.Kick{Member: member, Reason: reason})
}

// Lock closes the room's door. With knock it is a waiting room: who comes is told by a *signaling.Knock, and waits for Admit or Deny.
func (r *Room) Lock(ctx context.Context, knock bool) error {
	return r.send(ctx, &signaling.Lock{Locked: true, Knock: knock})
}

// Unlock opens the room's door; all who wait come in.
func (r *Room) Unlock(ctx context.Context) error { return r.send(ctx, &signaling.Lock{}) }

// Admit lets in one who waits.
func (r *Room) Admit(ctx context.Context, member string) error {
	return r.send(ctx, &signaling.Admit{Member: member})
}

// Deny turns one who waits away.
func (r *Room) Deny(ctx context.Context, member string) error {
	return r.send(ctx, &signaling.Deny{Member: member})
}

// SetPassword gives the room a password, or takes it away when it is empty.
func (r *Room) SetPassword(ctx context.Context, password string) error {
	return r.send(ctx, &signaling.Password{Password: password})
}

// Limit bounds the members of the room; 0 means as many as the server allows.
func (r *Room) Limit(ctx context.Context, members int) error {
	return r.send(ctx, &signaling.Limit{MaxMembers: members})
}

func (r *Room) send(ctx context.Context, m signaling.ClientMessage) error {
	raw, err := signaling.Encode(m)
	if err != nil {
		return err
	}
	if err := r.out.push(ctx, item{raw, m.Type()}); err != nil {
		return fmt.Errorf("send %s: %w", m.Type(), err)
	}
	return nil
}

// signal is Signal for the Negotiator: it does not wait.
func (r *Room) signal(to string, data any) error {
	return r.Signal(impatient, to, data)
}

func (r *Room) refreshICE() error { return r.RefreshICE(impatient) }

// impatient has ended.
var impatient = func() context.Context {
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(errFull)
	return ctx
}()

var encodedLeave = func() item {
	leave := &signaling.Leave{}
	raw, err := signaling.Encode(leave)
	if err != nil {
		panic(err)
	}
	return item{raw, leave.Type()}
}()

// encodeData keeps back what the server would refuse, or close the connection for.
func encodeData(what string, value any, limit int) (json.RawMessage, error) {
	raw, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	if len(raw) > limit {
		return nil, fmt.Errorf("%s has %d bytes as JSON, at most %d are allowed", what, len(raw), limit)
	}
	return raw, nil
}
