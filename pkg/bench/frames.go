package bench

import (
	"encoding/binary"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// A payload begins with a mark, 24 bytes in all: the tag of the measurement that it belongs to, its number in its flow, and the
// moment of the call that sent it (nanoseconds of Clock). The rest is zero.
const markSize = 24

// MinSize is the smallest payload in bytes that can be measured.
const MinSize = markSize

// channelHeader is the size of the header of a ChannelData message (RFC 8656 section 12.4).
const channelHeader = 4

// channel is the number that every session binds.
const channel = 0x4000

var epoch = time.Now()

// Clock is the monotonic time in nanoseconds, from a beginning of its own.
func Clock() int64 { return int64(time.Since(epoch)) }

// frames are the packets that are sent at once, as they go onto the wire, one behind the other.
type frames struct {
	b      []byte
	count  int
	header int // bytes in front of a payload
	size   int // of a packet, with its header
	stride int // from one packet to the next: on a stream messages are padded to a multiple of four (RFC 8656 section 12.5)
}

func newFrames(count, size int, framed, stream bool) *frames {
	f := &frames{count: count, size: size}
	if framed {
		f.header, f.size = channelHeader, channelHeader+size
	}
	f.stride = f.size
	if stream {
		f.stride = (f.size + 3) &^ 3
	}
	f.b = make([]byte, count*f.stride)
	for i := 0; i < count && framed; i++ {
		binary.BigEndian.PutUint16(f.b[i*f.stride:], channel)
		binary.BigEndian.PutUint16(f.b[i*f.stride+2:], uint16(size))
	}
	return f
}

// packet is the i-th packet without padding.
func (f *frames) packet(i int) []byte { return f.b[i*f.stride : i*f.stride+f.size] }

// stamp marks all packets as sent now, numbered from first.
func (f *frames) stamp(tag, first uint64) {
	now := uint64(Clock())
	for i := range f.count {
		mark := f.b[i*f.stride+f.header:]
		binary.BigEndian.PutUint64(mark, tag)
		binary.BigEndian.PutUint64(mark[8:], first+uint64(i))
		binary.BigEndian.PutUint64(mark[16:], now)
	}
}

// meter counts what arrives of one measurement. It is safe for concurrent use.
type meter struct {
	tag       uint64 // fixed; nothing else that arrives is counted
	received  atomic.Uint64
	reordered atomic.Uint64 // arrived behind a later one of their flow, or twice
	silent    atomic.Uint64 // ends that nothing arrived at
	latency   Histogram
}

func newMeter() *meter { return &meter{tag: rand.Uint64()} }

// warmUp is the tag of packets that are not to be counted.
func (m *meter) warmUp() uint64 { return m.tag + 1 }

// flow counts what arrives at one end. One goroutine uses it.
type flow struct {
	m    *meter
	next uint64 // the number that should arrive next
}

// end says that nothing else will arrive.
func (f *flow) end() {
	if f.next == 0 {
		f.m.silent.Add(1)
	}
}

// arrived takes the beginning of a payload that was read at the moment now.
func (f *flow) arrived(payload []byte, now int64) {
	if len(payload) < markSize || binary.BigEndian.Uint64(payload) != f.m.tag {
		return
	}
	number := binary.BigEndian.Uint64(payload[8:])
	if number < f.next {
		f.m.reordered.Add(1)
	} else {
		f.next = number + 1
	}
	f.m.latency.Record(now - int64(binary.BigEndian.Uint64(payload[16:])))
	f.m.received.Add(1)
}
