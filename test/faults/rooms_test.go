//go:build linux

package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/maitred/maitred/test/harness"
)

// unlimited lets one address do what thousands do.
var unlimited = []string{
	"MAITRED_HTTP_LIMITS_CONNECTIONS_PER_IP=0", "MAITRED_SIGNALING_LIMITS_CONNECTIONS_PER_IP=0", "MAITRED_SIGNALING_LIMITS_JOINS_PER_IP=0",
	"MAITRED_SIGNALING_LIMITS_MESSAGES=0", "MAITRED_SIGNALING_LIMITS_MESSAGES_PER_IP=0", "MAITRED_LOG_LEVEL=info",
}

func webSocketOf(d *harness.Daemon) string {
	return "ws" + strings.TrimPrefix(d.Page("/ws"), "http")
}

// TestBench loads a daemon that looks for its own races; the harness fails the test if it has one.
func TestBench(t *testing.T) {
	d := harness.Start(t, unlimited...)
	for _, load := range []string{
		"--rooms 200 --joins 400 --messages 2000",
		"--rooms 4 --members 16 --fan-out --messages 60",
	} {
		arguments := append([]string{"bench", "signaling", "--json", "--server", webSocketOf(d), "--settle", "100ms", "--warm-up", "0s", "--duration", "1s"},
			strings.Fields(load)...)
		var report struct {
			Failed int     `json:"failed"`
			Lost   float64 `json:"lost"`
		}
		if err := json.Unmarshal(d.Run(arguments...), &report); err != nil || report.Failed > 0 || report.Lost > 0 {
			t.Errorf("%s: %v, %+v", load, err, report)
		}
	}
	harness.Within(t, 20*time.Second, "all rooms end", func() (bool, any) {
		rooms := d.Metric("maitred_rooms")
		return rooms == 0, rooms
	})
}

// dialRooms opens a connection that asks for nothing yet.
func dialRooms(d *harness.Daemon) (*websocket.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, webSocketOf(d), &websocket.DialOptions{Subprotocols: []string{"maitred.v1"}})
	return ws, err
}

// TestTermAmongStrangers ends a daemon while 1,000 connections do nothing, 1,000 join and vanish, and members talk.
func TestTermAmongStrangers(t *testing.T) {
	const idle, vanishing, talking = 1000, 1000, 20
	d := harness.Start(t, append(slices.Clip(unlimited), "MAITRED_SIGNALING_RESUME=1s", "MAITRED_SIGNALING_LIMITS_MESSAGES=20")...)
	var clients sync.WaitGroup
	ended := make(chan websocket.StatusCode, idle+talking)
	read := func(ws *websocket.Conn) {
		ws.SetReadLimit(-1)
		for {
			if _, _, err := ws.Read(context.Background()); err != nil {
				ended <- websocket.CloseStatus(err)
				return
			}
		}
	}
	var idlers []*websocket.Conn
	for range idle {
		ws, err := dialRooms(d)
		if err != nil {
			t.Fatal(err)
		}
		idlers = append(idlers, ws)
	}
	for _, ws := range idlers {
		clients.Go(func() { read(ws) })
	}
	for n := range talking {
		ws, err := dialRooms(d)
		if err != nil {
			t.Fatal(err)
		}
		clients.Go(func() { read(ws) })
		clients.Go(func() { chat(ws, fmt.Sprintf("talk-%d", n/2)) })
	}
	begun := make(chan struct{}, vanishing)
	for n := range 10 {
		clients.Go(func() {
			for i := range vanishing / 10 {
				joinAndVanish(t, d, fmt.Sprintf("gone-%d", (n*100+i)%50), begun)
			}
		})
	}
	for range vanishing / 2 {
		<-begun
	}
	d.Stop(30 * time.Second) // in the middle of it
	clients.Wait()
	for range idle + talking {
		// One whose time to join was up is told so; the others hear of the end. Whatever is cut in its handshake hears nothing.
		if code := <-ended; code != websocket.StatusGoingAway && code != 4000 && code != -1 {
			t.Errorf("a connection was closed with %v", code)
		}
	}
}

// chat joins and says something until the connection ends.
func chat(ws *websocket.Conn, room string) {
	write := func(text string) error { return ws.Write(context.Background(), websocket.MessageText, []byte(text)) }
	if write(fmt.Sprintf(`{"type":"join","room":%q,"name":"n"}`, room)) != nil {
		return
	}
	for write(`{"type":"broadcast","data":"hello"}`) == nil {
	}
}

// joinAndVanish joins and cuts the connection without a word, as soon as it is in. A daemon that stops takes nobody.
func joinAndVanish(t *testing.T, d *harness.Daemon, room string, begun chan<- struct{}) {
	defer func() { begun <- struct{}{} }()
	ws, err := dialRooms(d)
	if err != nil {
		return
	}
	defer ws.CloseNow()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if ws.Write(ctx, websocket.MessageText, fmt.Appendf(nil, `{"type":"join","room":%q,"name":"n"}`, room)) != nil {
		return
	}
	if _, _, err := ws.Read(ctx); errors.Is(err, context.DeadlineExceeded) {
		t.Error("no answer to a join")
	}
}
