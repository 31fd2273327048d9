package cluster_test

import (
	"errors"
	"slices"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/maitred/maitred/pkg/cluster"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// log keeps what a subscriber got.
type log struct{ got []string }

func (l *log) deliver(ev cluster.Event) { l.got = append(l.got, ev.Type) }

type subscriber func(cluster.Event)

func (deliver subscriber) Deliver(ev cluster.Event) { deliver(ev) }

func subscribe(t *testing.T, b cluster.Bus, room string, deliver subscriber) cluster.Topic {
	t.Helper()
	topic, err := b.Subscribe(room, deliver)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(topic.Close)
	return topic
}

func publish(t *testing.T, topic cluster.Topic, types ...string) {
	t.Helper()
	for _, typ := range types {
		if err := topic.Publish(cluster.Event{Type: typ}); err != nil {
			t.Fatalf("publish %s: %v", typ, err)
		}
	}
}

func TestMemoryReachesAllSubscribersOfTheRoom(t *testing.T) {
	b := cluster.NewMemory()
	var one, two, other log
	first := subscribe(t, b, "r", one.deliver)
	second := subscribe(t, b, "r", two.deliver)
	subscribe(t, b, "other", other.deliver)
	publish(t, first, "a", "b")
	publish(t, second, "c")
	want := []string{"a", "b", "c"}
	if !slices.Equal(one.got, want) || !slices.Equal(two.got, want) {
		t.Errorf("got %v and %v, want %v", one.got, two.got, want)
	}
	if len(other.got) != 0 {
		t.Errorf("another room got %v", other.got)
	}
}

func TestMemoryClose(t *testing.T) {
	b := cluster.NewMemory()
	var one, two log
	first := subscribe(t, b, "r", one.deliver)
	second := subscribe(t, b, "r", two.deliver)
	first.Close()
	first.Close()
	if err := first.Publish(cluster.Event{Type: "a"}); !errors.Is(err, cluster.ErrClosed) {
		t.Errorf("publish after close: %v", err)
	}
	publish(t, second, "b")
	if len(one.got) != 0 || !slices.Equal(two.got, []string{"b"}) {
		t.Errorf("got %v and %v", one.got, two.got)
	}
	second.Close()
	var three log
	publish(t, subscribe(t, b, "r", three.deliver), "c") // the room can be opened again
	if !slices.Equal(three.got, []string{"c"}) {
		t.Errorf("got %v", three.got)
	}
}

func TestMemoryOneOrderForAll(t *testing.T) {
	const publishers, events = 8, 200
	b := cluster.NewMemory()
	var one, two []cluster.Event
	topic := subscribe(t, b, "r", func(ev cluster.Event) { one = append(one, ev) })
	subscribe(t, b, "r", func(ev cluster.Event) { two = append(two, ev) })
	var all sync.WaitGroup
	for p := range publishers {
		all.Go(func() {
			for range events {
				if err := topic.Publish(cluster.Event{From: string(rune('a' + p))}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	same := func(a, b cluster.Event) bool { return a.From == b.From }
	if len(one) != publishers*events || !slices.EqualFunc(one, two, same) {
		t.Errorf("%d and %d events, or not in one order", len(one), len(two))
	}
}

// TestMemoryLocal: what a publisher's own deliver finds its way with is nobody else's.
func TestMemoryLocal(t *testing.T) {
	b := cluster.NewMemory()
	var own, foreign []any
	topic := subscribe(t, b, "r", func(ev cluster.Event) { own = append(own, ev.Local) })
	other := subscribe(t, b, "r", func(ev cluster.Event) { foreign = append(foreign, ev.Local) })
	for _, t2 := range []cluster.Topic{topic, other} {
		if err := t2.Publish(cluster.Event{Local: t2}); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(own, []any{topic, nil}) || !slices.Equal(foreign, []any{nil, other}) {
		t.Errorf("got %v and %v", own, foreign)
	}
}
