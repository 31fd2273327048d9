package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/maitred/maitred/pkg/client"
	"github.com/maitred/maitred/pkg/signaling"
)

type config struct {
	url, room, name, token, password string
	policy                           webrtc.ICETransportPolicy
}

// member is this program in the room.
type member struct {
	config
	log  *slog.Logger
	room *client.Room
	tone *webrtc.TrackLocalStaticSample

	mu    sync.Mutex
	calls map[string]*call // by the other one's id
}

// call is the connection to one other member.
type call struct {
	connection
	member  *member
	with    signaling.Member
	chat    *webrtc.DataChannel
	packets atomic.Int64 // of media that have arrived
}

// newMember joins; ctx bounds that only.
func newMember(ctx context.Context, c config, log *slog.Logger) (*member, error) {
	m := &member{config: c, log: log, calls: map[string]*call{}}
	var err error
	if m.tone, err = newToneTrack(); err != nil {
		return nil, err
	}
	m.room, err = client.Join(ctx, c.url, c.room, c.name, &client.Options{
		Token: c.token, Password: c.password,
		Waiting: func() { log.Info("waiting: a moderator has to let us in") },
		Lost:    func(cause error) { log.Warn("connection to the server lost, coming back", "cause", cause) },
		Dropped: func(n int) { log.Warn("messages dropped", "count", n) },
	})
	return m, err
}

// run has calls with everybody until ctx ends or the seat is gone.
func (m *member) run(ctx context.Context) error {
	negotiator := client.NewNegotiator(m.room, client.NegotiatorOptions{Connect: m.connect, Status: m.status, Failed: m.failed})
	defer negotiator.Close()
	// What the page shows beside the name.
	if err := m.room.Update(ctx, map[string]bool{"audio": true, "video": false, "screen": false}); err != nil {
		return err
	}
	playing, stop := context.WithCancel(ctx)
	var tasks sync.WaitGroup
	tasks.Go(func() {
		if err := play(playing, m.tone); err != nil {
			m.log.Error("the tone has ended", "err", err)
		}
	})
	tasks.Go(func() {
		<-playing.Done()
		leaving, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := m.room.Leave(leaving); err != nil {
			m.log.Warn("left without a goodbye", "err", err)
		}
	})
	for event := range m.room.Events() {
		negotiator.Handle(event)
		m.tell(event)
	}
	stop()
	tasks.Wait()
	return m.room.Err()
}

// tell logs who comes and goes.
func (m *member) tell(event signaling.ServerMessage) {
	switch e := event.(type) {
	case *signaling.Joined:
		m.log.Info("in the room", "room", e.Room.ID, "others", len(e.Members), "resumed", e.Resumed)
	case *signaling.MemberJoined:
		m.log.Info("came", "name", e.Member.Name)
	case *signaling.MemberLeft:
		m.log.Info("went", "member", e.Member, "reason", e.Reason)
	case *signaling.Kicked:
		m.log.Warn("kicked", "reason", e.Reason)
	case *signaling.ServerData:
		m.log.Info("the server says", "data", string(e.Data))
	case *signaling.Error:
		m.log.Warn("refused", "request", e.Request, "code", e.Code, "message", e.Message)
	}
}

// connect makes a connection with what the call page has: audio and video, and a data channel that no message announces.
func (m *member) connect(p *client.Peer, servers []signaling.ICEServer) (client.Connection, error) {
	pc, err := connect(p, servers, m.policy)
	if err != nil {
		return nil, err
	}
	c := &call{connection: pc, member: m, with: p.Member()}
	if err := m.furnish(c); err != nil {
		return nil, errors.Join(err, pc.Close())
	}
	m.mu.Lock()
	m.calls[c.with.ID] = c
	m.mu.Unlock()
	return c, nil
}

// Close is called before there is another call with the same member.
func (c *call) Close() error {
	c.member.mu.Lock()
	delete(c.member.calls, c.with.ID)
	c.member.mu.Unlock()
	return c.connection.Close()
}

func (m *member) furnish(c *call) error {
	if _, err := c.AddTransceiverFromTrack(m.tone); err != nil {
		return err
	}
	_, err := c.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly})
	if err != nil {
		return err
	}
	c.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		m.log.Info("receives", "from", c.with.Name, "codec", track.Codec().MimeType)
		for {
			if _, _, err := track.ReadRTP(); err != nil {
				return // the connection is closed
			}
			c.packets.Add(1)
		}
	})
	agreed, id := true, uint16(0)
	if c.chat, err = c.CreateDataChannel("chat", &webrtc.DataChannelInit{Negotiated: &agreed, ID: &id}); err != nil {
		return err
	}
	c.chat.OnMessage(func(raw webrtc.DataChannelMessage) { m.hear(c, raw.Data) })
	return nil
}

// chatMessage is what the page's data channel carries; it has other types as well.
type chatMessage struct {
	Type string `json:"type"` // chat
	Text string `json:"text"`
	At   int64  `json:"at"` // Unix time in milliseconds
}

const echo = "You said: "

// hear repeats what somebody says, unless it is a repetition itself.
func (m *member) hear(c *call, raw []byte) {
	var message chatMessage
	if err := json.Unmarshal(raw, &message); err != nil || message.Type != "chat" {
		return
	}
	m.log.Info("chat", "from", c.with.Name, "text", message.Text)
	if strings.HasPrefix(message.Text, echo) {
		return
	}
	if err := c.say(echo + message.Text); err != nil {
		m.log.Warn("not said", "to", c.with.Name, "err", err)
	}
}

func (c *call) say(text string) error {
	raw, err := json.Marshal(chatMessage{Type: "chat", Text: text, At: time.Now().UnixMilli()})
	if err != nil {
		return err
	}
	return c.chat.SendText(string(raw))
}

// path tells of which kind the candidates at both ends are.
func (c *call) path() (string, error) {
	pair, err := c.SCTP().Transport().ICETransport().GetSelectedCandidatePair()
	switch {
	case err != nil:
		return "", fmt.Errorf("candidate pair: %w", err)
	case pair == nil:
		return "", errors.New("no candidate pair")
	}
	return pair.Local.Typ.String() + " to " + pair.Remote.Typ.String(), nil
}

// with is the call with a member, nil if there is none.
func (m *member) with(id string) *call {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.calls[id]
}

func (m *member) status(p *client.Peer, status client.Status) {
	who := p.Member().Name
	if status != client.StatusConnected {
		m.log.Info("call", "with", who, "status", status)
		return
	}
	path, err := m.with(p.Member().ID).path()
	if err != nil {
		m.log.Warn("call", "with", who, "status", status, "err", err)
		return
	}
	m.log.Info("call", "with", who, "status", status, "path", path)
}

func (m *member) failed(p *client.Peer, err error) {
	m.log.Warn("call", "with", p.Member().Name, "err", err)
}
