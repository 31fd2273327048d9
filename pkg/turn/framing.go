package turn

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

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

var (
	errNotFramed   = errors.New("the stream carries something else than STUN and ChannelData")
	errFrameTooBig = errors.New("a message is longer than the client may send")
)

// frameReader cuts a stream into STUN and ChannelData messages (RFC 8656 sections 2.1 and 12.5).
type frameReader struct {
	r *bufio.Reader
	p *udpio.Packet // grows to maxFrame for clients that send large messages
}

func newFrameReader(r io.Reader) *frameReader {
	return &frameReader{r: bufio.NewReaderSize(r, 4096), p: udpio.NewPacket(maxControlFrame)}
}

// next reads one message of at most limit bytes, without its padding. The packet is good until the next call. io.EOF means that
// the stream ended between two messages.
func (f *frameReader) next(limit int) (*udpio.Packet, error) {
	header, err := f.r.Peek(4)
	if err != nil {
		if len(header) > 0 && err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	size, padded, err := frameSize(header)
	if err != nil {
		return nil, err
	}
	if padded > limit {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", errFrameTooBig, padded, limit)
	}
	if padded > len(f.p.Space()) {
		f.p = udpio.NewPacket(maxFrame + 3)
	}
	if _, err := io.ReadFull(f.r, f.p.Space()[:padded]); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	f.p.Reset(size)
	return f.p, nil
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
