package signaling

import (
	"bytes"
	"encoding/hex"
	"math/rand/v2"
	"strings"
	"sync/atomic"

	"github.com/maitred/maitred/pkg/bench"
)

// A message of the load carries an ICE candidate's JSON, in which the candidate is a mark and filling. The mark is this prefix and three
// numbers in 16 hexadecimal digits each: the tag of the measurement, the message's number in it, and when it was due (nanoseconds of bench.Clock).
const (
	markPrefix = "maitred-bench:"
	digits     = 16
	markSize   = len(markPrefix) + 3*digits

	dataFront = `{"candidate":{"candidate":"`
	dataBack  = `","sdpMid":"0","sdpMLineIndex":0}}`
)

// MinSize and MaxSize bound the data of a message, in bytes: the mark must fit, and the protocol allows no more (docs/protocol.md).
const (
	MinSize = len(dataFront) + markSize + len(dataBack)
	MaxSize = 64 << 10
)

// newData makes the data of a message, size bytes of JSON.
func newData(size int) []byte {
	return []byte(dataFront + markPrefix + strings.Repeat("0", 3*digits) + strings.Repeat("x", size-MinSize) + dataBack)
}

// stamp writes the numbers into data.
func stamp(data []byte, tag, number uint64, due int64) {
	numbers := data[len(dataFront)+len(markPrefix):]
	putHex(numbers, tag)
	putHex(numbers[digits:], number)
	putHex(numbers[2*digits:], uint64(due))
}

// findMark finds the numbers in a message, without decoding it.
func findMark(message []byte) (tag, number uint64, due int64, ok bool) {
	at := bytes.Index(message, []byte(markPrefix))
	if at < 0 || len(message) < at+markSize {
		return 0, 0, 0, false
	}
	numbers := message[at+len(markPrefix):]
	tag, ok1 := hexAt(numbers)
	number, ok2 := hexAt(numbers[digits:])
	moment, ok3 := hexAt(numbers[2*digits:])
	return tag, number, int64(moment), ok1 && ok2 && ok3
}

func putHex(b []byte, n uint64) {
	const symbols = "0123456789abcdef"
	for i := digits - 1; i >= 0; i-- {
		b[i] = symbols[n&15]
		n >>= 4
	}
}

func hexAt(b []byte) (n uint64, ok bool) {
	var raw [digits / 2]byte
	if _, err := hex.Decode(raw[:], b[:digits]); err != nil {
		return 0, false
	}
	for _, c := range raw {
		n = n<<8 | uint64(c)
	}
	return n, true
}

// outstanding is how many messages can be under way at once, a power of two. One that is overtaken by so many counts as lost.
const outstanding = 1 << 18

// meter counts what becomes of the messages of one measurement. It is safe for concurrent use.
type meter struct {
	tag        uint64
	sent       atomic.Uint64
	expected   atomic.Uint64 // deliveries of what was sent
	delivered  atomic.Uint64
	duplicates atomic.Uint64
	latency    bench.Histogram // of every delivery
	whole      bench.Histogram // until the last one of a message
	late       bench.Histogram // from due to being written: what is this side's fault

	// By number modulo its length: the low bits of the message's number, and for how many it is still under way.
	under []atomic.Uint64
}

const receiverBits = 16

func newMeter() *meter {
	return &meter{tag: rand.Uint64(), under: make([]atomic.Uint64, outstanding)}
}

// begin notes that a message is about to be sent to so many.
func (m *meter) begin(number uint64, receivers int) {
	m.sent.Add(1)
	m.expected.Add(uint64(receivers))
	m.under[number%outstanding].Store(number<<receiverBits | uint64(receivers))
}

// arrived counts a delivery at the moment now.
func (m *meter) arrived(number uint64, due, now int64) {
	u := &m.under[number%outstanding]
	for {
		v := u.Load()
		left := v & (1<<receiverBits - 1)
		if v>>receiverBits != number<<receiverBits>>receiverBits || left == 0 {
			m.duplicates.Add(1)
			return
		}
		if !u.CompareAndSwap(v, v-1) {
			continue
		}
		m.latency.Record(now - due)
		if left == 1 {
			m.whole.Record(now - due)
		}
		m.delivered.Add(1)
		return
	}
}

// lost is how many deliveries are missing.
func (m *meter) lost() uint64 {
	delivered := m.delivered.Load() // first: the other is never less
	return m.expected.Load() - delivered
}
