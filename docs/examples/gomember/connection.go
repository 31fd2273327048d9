package main

import (
	"github.com/pion/webrtc/v4"

	"github.com/maitred/maitred/pkg/client"
	"github.com/maitred/maitred/pkg/signaling"
)

// connection is a Pion connection as a client.Negotiator drives it.
type connection struct {
	*webrtc.PeerConnection
	policy webrtc.ICETransportPolicy
}

// connect makes one whose events p hears of.
func connect(p *client.Peer, servers []signaling.ICEServer, policy webrtc.ICETransportPolicy) (connection, error) {
	pc, err := webrtc.NewPeerConnection(configuration(servers, policy))
	if err != nil {
		return connection{}, err
	}
	pc.OnICECandidate(func(c *webrtc.ICECandidate) {
		if c != nil {
			p.Gathered(client.Candidate(c.ToJSON()))
		}
	})
	pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) { p.StateChanged(client.State(s.String())) })
	return connection{pc, policy}, nil
}

func configuration(servers []signaling.ICEServer, policy webrtc.ICETransportPolicy) webrtc.Configuration {
	c := webrtc.Configuration{ICETransportPolicy: policy}
	for _, s := range servers {
		c.ICEServers = append(c.ICEServers, webrtc.ICEServer{URLs: s.URLs, Username: s.Username, Credential: s.Credential})
	}
	return c
}

func (c connection) Offer(restart bool) (client.Description, error) {
	offer, err := c.CreateOffer(&webrtc.OfferOptions{ICERestart: restart})
	if err != nil {
		return client.Description{}, err
	}
	return toClient(offer), c.SetLocalDescription(offer)
}

func (c connection) Local() client.Description { return toClient(*c.LocalDescription()) }

func (c connection) Answer(offer client.Description) (client.Description, error) {
	if err := c.SetRemoteDescription(toPion(offer)); err != nil {
		return client.Description{}, err
	}
	answer, err := c.CreateAnswer(nil)
	if err != nil {
		return client.Description{}, err
	}
	return toClient(answer), c.SetLocalDescription(answer)
}

func (c connection) Accept(answer client.Description) error {
	return c.SetRemoteDescription(toPion(answer))
}

func (c connection) AddCandidate(candidate client.Candidate) error {
	return c.AddICECandidate(webrtc.ICECandidateInit(candidate))
}

func (c connection) Configure(servers []signaling.ICEServer) error {
	return c.SetConfiguration(configuration(servers, c.policy))
}

// Close returns when the connection's goroutines have ended.
func (c connection) Close() error { return c.GracefulClose() }

func toClient(d webrtc.SessionDescription) client.Description {
	return client.Description{Type: d.Type.String(), SDP: d.SDP}
}

func toPion(d client.Description) webrtc.SessionDescription {
	return webrtc.SessionDescription{Type: webrtc.NewSDPType(d.Type), SDP: d.SDP}
}
