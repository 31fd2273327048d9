package turn

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"

	"github.com/maitred/maitred/pkg/udpio"
)

// Frame sizes in bytes.
const (
	// maxFrame is the longest message on a stream: a STUN header and all that its 16-bit length can say.
	maxFrame = 20 + 65535
	// maxControlFrame is the longest one from a client that has no allocation. It needs no more, and whoever talks another
	// protocol to the port is found out at once.
	maxControlFrame = 2048
)

// Sizes of a connection's read buffer in bytes: what everybody gets, and what a client with an allocation gets that sends so much
// that it fills the small one.
const (
	readBuffer = 4 << 10
	fastBuffer = 16 << 10
)

var (
	errNotFramed   = errors.New("the stream carries something else than STUN and ChannelData")
	errFrameTooBig = errors.New("a message is longer than the client may send")
)

// frameReader cuts a stream into STUN and ChannelData messages (RFC 8656 sections 2.1 and 12.5).
type frameReader struct {
	r          io.Reader
	buf        []byte // grows to maxFrame for clients that send large messages
	start, end int    // what has been read and not been taken
	filled     bool   // the last read could have brought more
	eager      bool   // r does not wait, so it is asked for more as long as it has some
}

// newFrameReader reads ahead first, then r.
func newFrameReader(r io.Reader, ahead []byte) *frameReader {
	buf := make([]byte, max(readBuffer, len(ahead)))
	return &frameReader{r: r, buf: buf, end: copy(buf, ahead)}
}

// next waits for one message of at most limit bytes and returns it without its padding. It is good until the next call. io.EOF
// means that the stream ended between two messages.
func (f *frameReader) next(limit int) ([]byte, error) {
	if f.filled && f.start == f.end && limit > len(f.buf) && len(f.buf) < fastBuffer {
		f.buf = make([]byte, fastBuffer)
	}
	if err := f.fill(4); err != nil {
		return nil, err
	}
	size, padded, err := frameSize(f.buf[f.start:f.end])
	if err != nil {
		return nil, err
	}
	if padded > limit {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", errFrameTooBig, padded, limit)
	}
	if err := f.fill(padded); err != nil {
		return nil, err
	}
	m := f.buf[f.start : f.start+size]
	f.start += padded
	return m, nil
}

// ready implements messageReader.
func (f *frameReader) ready() bool {
	if f.eager {
		return true
	}
	b := f.buf[f.start:f.end]
	if len(b) < 4 {
		return false
	}
	_, padded, err := frameSize(b)
	return err != nil || padded <= len(b)
}

// fill reads until n bytes are there.
func (f *frameReader) fill(n int) error {
	for f.end-f.start < n {
		f.makeRoom(n)
		room := f.buf[f.end:min(len(f.buf), f.end+fastBuffer)] // no more at once: others wait
		got, err := f.r.Read(room)
		f.end += got
		f.filled = got == len(room)
		switch {
		case f.end-f.start >= n:
		case err == io.EOF && f.end > f.start:
			return io.ErrUnexpectedEOF
		case err != nil:
			return err
		}
	}
	return nil
}

// makeRoom moves what is there to the front of a buffer that holds n bytes.
func (f *frameReader) makeRoom(n int) {
	b := f.buf
	if f.start == 0 && n <= len(b) {
		return
	}
	switch {
	case n > fastBuffer:
		n = maxFrame + 3
	case n > len(b):
		n = fastBuffer
	}
	if n > len(b) {
		b = make([]byte, n)
	}
	f.end = copy(b, f.buf[f.start:f.end])
	f.start, f.buf = 0, b
}

// frameSize tells how long the message is that begins with header (4 bytes), without and with padding.
func frameSize(header []byte) (size, padded int, err error) {
	length := int(binary.BigEndian.Uint16(header[2:]))
	switch header[0] >> 6 {
	case 0: // STUN: the length leaves out the header and is a multiple of four
		if length%4 != 0 {
			return 0, 0, errNotFramed
		}
		return 20 + length, 20 + length, nil
	case 1: // ChannelData: padded to a multiple of four, which the length leaves out
		return 4 + length, (4 + length + 3) &^ 3, nil
	}
	return 0, 0, errNotFramed
}

// inbound is where the messages of one read are relayed from: together, as those that one system call reads from a UDP socket.
// Readers borrow it while they have messages at hand, and none holds one while it waits.
type inbound struct {
	*udpio.Gather
	packets []*udpio.Packet // for messages of up to maxControlFrame bytes
	used    int
	large   *udpio.Packet // for longer ones; nil until there is one
}

// inboundPackets is how many messages are relayed at once.
const inboundPackets = 32

func newInbound() *inbound {
	in := &inbound{Gather: udpio.NewGather()}
	for range inboundPackets {
		in.packets = append(in.packets, udpio.NewPacket(maxControlFrame))
	}
	return in
}

// packet returns a packet with a copy of the message, good until Flush.
func (in *inbound) packet(m []byte) *udpio.Packet {
	if len(m) > maxControlFrame {
		if in.large == nil {
			in.large = udpio.NewPacket(maxFrame)
		}
		in.Flush() // there is one of them only
		in.large.Reset(copy(in.large.Space(), m))
		return in.large
	}
	if in.used == len(in.packets) {
		in.Flush()
	}
	p := in.packets[in.used]
	in.used++
	p.Reset(copy(p.Space(), m))
	return p
}

// Flush sends what came of the packets; they are free then.
func (in *inbound) Flush() {
	in.Gather.Flush()
	in.used = 0
}

// inbounds are those that nobody uses now. Nobody waits with one, so there need not be more than there are processors, give or take
// a reader that has been interrupted.
type inbounds chan *inbound

func newInbounds() inbounds { return make(inbounds, 2*runtime.GOMAXPROCS(0)) }

func (free inbounds) borrow() *inbound {
	select {
	case in := <-free:
		return in
	default:
		return newInbound()
	}
}

// giveBack flushes in.
func (free inbounds) giveBack(in *inbound) {
	in.Flush()
	select {
	case free <- in:
	default:
	}
}
