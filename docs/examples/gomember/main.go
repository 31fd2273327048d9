// Command gomember is a member of a room that is a Go program: it has a call with everybody there, plays them a tone, and
// repeats what they write in the chat.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/pion/webrtc/v4"
)

func main() {
	var c config
	flag.StringVar(&c.url, "url", "ws://127.0.0.1:8080/ws", "the server's WebSocket")
	flag.StringVar(&c.room, "room", "", "the room, as in the page's link")
	flag.StringVar(&c.name, "name", "Gopher", "what the others see")
	flag.StringVar(&c.token, "token", "", "a join token, where the server asks for one")
	flag.StringVar(&c.password, "password", "", "the room's password, where it has one")
	relay := flag.Bool("relay", false, "media through the TURN server only")
	flag.Parse()
	if *relay {
		c.policy = webrtc.ICETransportPolicyRelay
	}
	if c.room == "" || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "say which room: gomember -room NAME")
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	if err := run(ctx, c, log); err != nil {
		log.Error("the call is over", "err", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, c config, log *slog.Logger) error {
	m, err := newMember(ctx, c, log)
	if err != nil {
		return err
	}
	return m.run(ctx)
}
