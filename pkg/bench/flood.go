package bench

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/stun"
)

// floodSockets is how many sockets a flood comes from.
const floodSockets = 8

// flood sends Allocate requests that are refused: every other one without a credential, the rest with a wrong password.
type flood struct {
	clients  []*client
	requests [2][][]byte // by kind and client
	pacer    *Pacer
	answered atomic.Uint64
	readers  sync.WaitGroup
}

// newFlood connects the sockets and learns what the requests need. The answers are read until close.
func newFlood(ctx context.Context, c *Config) (f *flood, err error) {
	f = &flood{}
	if f.pacer, err = NewPacer(MinTick); err != nil {
		return nil, err
	}
	for range floodSockets {
		if err := f.add(ctx, c); err != nil {
			f.close()
			return nil, fmt.Errorf("prepare the flood: %w", err)
		}
	}
	for _, t := range f.clients {
		f.readers.Go(func() { f.read(t) })
	}
	return f, nil
}

func (f *flood) add(ctx context.Context, c *Config) error {
	wrong := *c
	wrong.Password = strings.Repeat("x", len(c.Password)+1)
	t, err := dial(ctx, &wrong)
	if err != nil {
		return err
	}
	f.clients = append(f.clients, t)
	var refused *refusal
	if err := t.allocate(ctx); err == nil {
		return errors.New("the server accepts a wrong password")
	} else if !errors.As(err, &refused) {
		return err
	}
	if err := t.conn.SetDeadline(time.Time{}); err != nil {
		return err
	}
	for kind := range f.requests {
		m := stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodAllocate, stun.ClassRequest))
		m.Add(stun.AttrRequestedTransport, []byte{17, 0, 0, 0})
		if kind == 1 {
			m.Add(stun.AttrUsername, []byte(c.Username))
			m.Add(stun.AttrRealm, t.realm)
			m.Add(stun.AttrNonce, t.nonce)
			m.Add(stun.AttrMessageIntegrity, make([]byte, 20))
		}
		f.requests[kind] = append(f.requests[kind], m.Raw)
	}
	return nil
}

// run sends rate requests a second until ctx ends. A stream that the server does not read holds up the others as well until then.
func (f *flood) run(ctx context.Context, rate int) error {
	stop := context.AfterFunc(ctx, func() {
		for _, t := range f.clients {
			_ = t.conn.SetWriteDeadline(longAgo)
		}
	})
	defer stop()
	var number uint64
	_, _, err := f.pacer.Run(ctx, 1<<62, rate, 1, func(int64) {
		i, kind := number/2%floodSockets, number%2
		request := f.requests[kind][i]
		binary.BigEndian.PutUint64(request[8:], number) // a transaction ID of its own; the last four bytes stay
		_, _ = f.clients[i].conn.Write(request)         // one that cannot be sent is missing in the answers
		number++
	})
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (f *flood) read(t *client) {
	buf := make([]byte, 2048)
	for {
		if _, err := t.readMessage(buf); err != nil {
			return
		}
		f.answered.Add(1)
	}
}

// close ends the readers.
func (f *flood) close() {
	for _, t := range f.clients {
		t.close()
	}
	f.readers.Wait()
	_ = f.pacer.Close()
}
