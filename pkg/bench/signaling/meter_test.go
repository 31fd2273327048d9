package signaling

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"
)

func TestMark(t *testing.T) {
	for _, tt := range []struct {
		name        string
		size        int
		tag, number uint64
		due         int64
	}{
		{"smallest", MinSize, 0, 0, 0},
		{"ordinary", 300, 0x0123456789abcdef, 42, int64(time.Hour)},
		{"largest", MaxSize, math.MaxUint64, math.MaxUint64, math.MaxInt64},
	} {
		t.Run(tt.name, func(t *testing.T) {
			data := newData(tt.size)
			stamp(data, tt.tag, tt.number, tt.due)
			if len(data) != tt.size || !json.Valid(data) {
				t.Errorf("%d bytes: %.200s", len(data), data)
			}
			for _, message := range [][]byte{maitred{}.relay(nil, "someone", data), maitred{}.relay(nil, "", data), peerjs{}.relay(nil, "someone", data)} {
				tag, number, due, ok := findMark(message)
				if !ok || tag != tt.tag || number != tt.number || due != tt.due || !json.Valid(message) {
					t.Errorf("%x, %d, %d, %v in %.300s", tag, number, due, ok, message)
				}
			}
		})
	}
}

func TestNoMark(t *testing.T) {
	whole := markPrefix + strings.Repeat("0", 3*digits)
	for name, message := range map[string]string{
		"nothing":      "",
		"another":      `{"type":"member-joined"}`,
		"cut off":      whole[:len(whole)-1],
		"no numbers":   strings.Repeat("0", 10) + markPrefix + strings.Repeat("x", 3*digits),
		"a bad number": whole[:len(whole)-1] + "g",
	} {
		if _, _, _, ok := findMark([]byte(message)); ok {
			t.Errorf("%s: a mark in %q", name, message)
		}
	}
}

func TestMeter(t *testing.T) {
	type arrival struct {
		number uint64
		after  int64
	}
	for _, tt := range []struct {
		name                        string
		receivers                   int
		sent                        []uint64
		arrivals                    []arrival
		delivered, duplicates, lost uint64
		slowest, whole              int64
	}{
		{"to one", 1, []uint64{0, 1}, []arrival{{0, 10}, {1, 20}}, 2, 0, 0, 20, 20},
		{"one is lost", 1, []uint64{0, 1, 2}, []arrival{{0, 10}, {2, 20}}, 2, 0, 1, 20, 20},
		{"one comes twice", 1, []uint64{0, 1}, []arrival{{0, 10}, {0, 20}}, 1, 1, 1, 10, 10},
		{"one that was not sent", 1, []uint64{0}, []arrival{{7, 10}}, 0, 1, 1, 0, 0},
		{"to three", 3, []uint64{5}, []arrival{{5, 10}, {5, 30}, {5, 20}}, 3, 0, 0, 30, 20},
		{"to three, one does not get it", 3, []uint64{5}, []arrival{{5, 10}, {5, 30}}, 2, 0, 1, 30, 0},
		{"overtaken by a round", 1, []uint64{1, 1 + outstanding}, []arrival{{1, 10}, {1 + outstanding, 20}}, 1, 1, 1, 20, 20},
		{"a number of many bits", 2, []uint64{1<<48 - 1}, []arrival{{1<<48 - 1, 10}, {1<<48 - 1, 10}}, 2, 0, 0, 10, 10},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMeter()
			for _, number := range tt.sent {
				m.begin(number, tt.receivers)
			}
			for _, a := range tt.arrivals {
				m.arrived(a.number, 1000, 1000+a.after)
			}
			if m.sent.Load() != uint64(len(tt.sent)) || m.delivered.Load() != tt.delivered || m.duplicates.Load() != tt.duplicates || m.lost() != tt.lost {
				t.Errorf("%d sent, %d delivered, %d twice, %d lost", m.sent.Load(), m.delivered.Load(), m.duplicates.Load(), m.lost())
			}
			if int64(m.latency.Max()) != tt.slowest || int64(m.whole.Max()) != tt.whole {
				t.Errorf("the slowest took %d, the last of a whole message %d", m.latency.Max(), m.whole.Max())
			}
		})
	}
}
