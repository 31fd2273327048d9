package icecheck

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/pion/stun"
	"golang.org/x/sync/errgroup"
)

// Loop is how a relay treats packets that go from one allocation on it to another one, as in a call of two people who both need the relay. First
// small packets go there and back, as often as those of a voice; then large ones go there, as many as those of a video.
type Loop struct {
	RTT50      time.Duration `json:"rtt_p50"` // there and back, in nanoseconds: twice from here to the server and back
	RTT99      time.Duration `json:"rtt_p99"`
	Jitter     time.Duration `json:"jitter"` // of the way there (RFC 3550 section 6.4.1), in nanoseconds
	Sent       int           `json:"sent"`   // small packets
	Lost       int           `json:"lost"`   // of those, on either way
	BulkSent   int           `json:"bulk_sent"`
	BulkLost   int           `json:"bulk_lost"`  // large packets, there
	Offered    int64         `json:"offered"`    // bits of payload a second in large packets
	Throughput int64         `json:"throughput"` // the same, of those that came
}

// Loss is the lost part of the small packets, between 0 and 1.
func (l Loop) Loss() float64 { return part(l.Lost, l.Sent) }

// BulkLoss is that of the large ones.
func (l Loop) BulkLoss() float64 { return part(l.BulkLost, l.BulkSent) }

func part(lost, sent int) float64 { return float64(lost) / float64(max(1, sent)) }

const (
	probeSize, probeEvery = 160, 10 * time.Millisecond // bytes
	bulkSize, bulkEvery   = 1000, 2 * time.Millisecond // 4 Mbit/s
	// loopGrace is how long packets are waited for that are still on their way.
	loopGrace = time.Second
	// loopChannel is the first channel number there is (RFC 8656 section 12).
	loopChannel = 0x4000
)

// Payloads begin with what they are and a number of four bytes.
const (
	probePacket = 'p'
	bulkPacket  = 'b'
	payloadHead = 5
	maxNumber   = 1 << 24 // more than ever are sent
)

// MeasureLoop makes two allocations on a turn: or turns: server, sends small packets between them for the first half of duration and large ones for
// the second, and gives both up. Its errors are for people, and that nothing comes through is one; error responses are in them as *CodeError.
func MeasureLoop(ctx context.Context, t Target, duration time.Duration) (Loop, error) {
	ctx, cancel := context.WithTimeout(ctx, Timeout+duration+loopGrace)
	defer cancel()
	l := loop{meter: newMeter()}
	err := l.measure(ctx, t, duration)
	if err != nil {
		return Loop{}, inTime(err)
	}
	result := l.meter.result()
	if result.Lost == result.Sent {
		return result, errors.New("the server allocated, but nothing comes through between two of its relayed addresses")
	}
	return result, nil
}

// loop is two allocations that are bound to each other.
type loop struct {
	near, far allocation
	meter     *meter
}

func (l *loop) measure(ctx context.Context, t Target, duration time.Duration) (err error) {
	giveUp := func(a *allocation) {
		if gaveUp := a.giveUp(ctx); err == nil {
			err = gaveUp
		}
	}
	if l.near, err = allocateOn(ctx, t); err != nil {
		return err
	}
	defer l.near.close()
	defer giveUp(&l.near)
	if l.far, err = allocateOn(ctx, t); err != nil {
		return fmt.Errorf("one allocation works, a second one beside it does not: %w", err)
	}
	defer l.far.close()
	defer giveUp(&l.far)
	for _, pair := range [][2]*allocation{{&l.near, &l.far}, {&l.far, &l.near}} {
		if err := pair[0].bindChannel(ctx, pair[1]); err != nil {
			return fmt.Errorf("the server does not let its relayed addresses reach each other: %w", err)
		}
	}
	if err := l.run(ctx, duration); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("relaying broke off: %w", err)
	}
	return nil
}

// allocateOn makes an allocation on a connection of its own, which is closed with it.
func allocateOn(ctx context.Context, t Target) (allocation, error) {
	u, err := parseURL(t.URL)
	if err != nil {
		return allocation{}, err
	}
	if !u.relay {
		return allocation{}, fmt.Errorf("%q is no turn: or turns: URL", t.URL)
	}
	c, err := dial(ctx, u, t.TLS)
	if err != nil {
		return allocation{}, fmt.Errorf("cannot reach the server: %w", err)
	}
	a, err := c.allocate(ctx, t.Username, t.Password)
	if err != nil {
		c.close()
	}
	return a, err
}

// bindChannel binds the loop's channel to the other end, which is a permission, too (RFC 8656 section 12).
func (a *allocation) bindChannel(ctx context.Context, peer *allocation) error {
	a.channel = loopChannel
	_, err := a.exchange(ctx, stun.MethodChannelBind, a.auth,
		stun.RawAttribute{Type: stun.AttrChannelNumber, Value: binary.BigEndian.AppendUint32(nil, loopChannel<<16)}, peerAddress(peer.relayed))
	return err
}

// run sends, and waits until what it has sent is there. Both connections can be used again then.
func (l *loop) run(ctx context.Context, duration time.Duration) error {
	ends := []*allocation{&l.near, &l.far}
	for _, end := range ends {
		if err := end.conn.SetReadDeadline(time.Time{}); err != nil {
			return err
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return l.near.receiveData(l.returned) })
	g.Go(func() error { return l.far.receiveData(l.arrived) })
	g.Go(func() error {
		err := l.send(ctx, duration)
		if err == nil {
			l.meter.settle(ctx)
		}
		for _, end := range ends { // the readers end now
			err = errors.Join(err, end.conn.SetReadDeadline(time.Now()))
		}
		return err
	})
	err := g.Wait()
	for _, end := range ends {
		err = errors.Join(err, end.conn.SetReadDeadline(time.Time{}))
	}
	return err
}

func (l *loop) send(ctx context.Context, duration time.Duration) error {
	probe, bulk := newPayload(probePacket, probeSize), newPayload(bulkPacket, bulkSize)
	err := paced(ctx, duration/2, probeEvery, func() error { return l.near.sendData(number(probe, l.meter.sendProbe(time.Now()))) })
	if err != nil {
		return err
	}
	return paced(ctx, duration/2, bulkEvery, func() error { return l.near.sendData(number(bulk, l.meter.sendBulk(time.Now()))) })
}

// paced calls send now and then at every interval, as long as that. What it is late with it leaves out.
func paced(ctx context.Context, length, interval time.Duration, send func() error) error {
	end, tick := time.NewTimer(length), time.NewTicker(interval)
	defer end.Stop()
	defer tick.Stop()
	for {
		if err := send(); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-end.C:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// newPayload is a ChannelData message (RFC 8656 section 12.4) whose number is not set yet. Sizes are multiples of four, so that none needs padding.
func newPayload(kind byte, size int) []byte {
	b := make([]byte, channelHeader+size)
	binary.BigEndian.PutUint16(b, loopChannel)
	binary.BigEndian.PutUint16(b[2:], uint16(size))
	b[channelHeader] = kind
	return b
}

func number(message []byte, n int) []byte {
	binary.BigEndian.PutUint32(message[channelHeader+1:], uint32(n))
	return message
}

func (a *allocation) sendData(message []byte) error {
	_, err := a.conn.Write(message)
	return err
}

// receiveData hands on every ChannelData message of the loop, until the read deadline passes.
func (a *allocation) receiveData(handle func(message []byte, kind byte, n int) error) error {
	for {
		b, err := a.readMessage()
		switch {
		case timedOut(err):
			return nil
		case err != nil:
			return err
		case len(b) < channelHeader+payloadHead || binary.BigEndian.Uint16(b) != loopChannel:
			continue // a response that came late, or something that is not of this loop
		}
		payload := b[channelHeader:]
		n := binary.BigEndian.Uint32(payload[1:])
		if n > maxNumber {
			continue
		}
		if err := handle(b, payload[0], int(n)); err != nil {
			return err
		}
	}
}

// arrived is what the far end does with a packet.
func (l *loop) arrived(message []byte, kind byte, n int) error {
	switch now := time.Now(); kind {
	case probePacket:
		l.meter.probeThere(n, now)
		return l.far.sendData(message)
	case bulkPacket:
		l.meter.bulkThere(n, now)
	}
	return nil
}

// returned is what the near end does with one.
func (l *loop) returned(_ []byte, kind byte, n int) error {
	if kind == probePacket {
		l.meter.probeBack(n, time.Now())
	}
	return nil
}
