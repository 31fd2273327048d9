package main

import (
	"context"
	"math"
	"math/bits"
	"time"

	"github.com/pion/webrtc/v4"
	"github.com/pion/webrtc/v4/pkg/media"
)

const (
	sampleRate = 8000 // of G.711, which every browser takes (RFC 7874) and which needs no encoder
	frame      = 20 * time.Millisecond
	pitch      = 440.0
	loudness   = 0.05 // of the loudest there is
)

func newToneTrack() (*webrtc.TrackLocalStaticSample, error) {
	return webrtc.NewTrackLocalStaticSample(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypePCMU, ClockRate: sampleRate}, "tone", "gomember")
}

// play sends a short tone every two seconds, and silence between, until ctx ends.
func play(ctx context.Context, track *webrtc.TrackLocalStaticSample) error {
	const perFrame = int(sampleRate * frame / time.Second)
	tick := time.NewTicker(frame)
	defer tick.Stop()
	for n := 0; ; n += perFrame {
		data := make([]byte, perFrame)
		for i := range data {
			data[i] = muLaw(tone(n + i))
		}
		if err := track.WriteSample(media.Sample{Data: data, Duration: frame}); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// tone is the nth sample, linear in 16 bits.
func tone(n int) int16 {
	if n%(2*sampleRate) >= sampleRate/4 {
		return 0
	}
	return int16(loudness * math.MaxInt16 * math.Sin(2*math.Pi*pitch*float64(n)/sampleRate))
}

// muLaw encodes a sample as ITU-T G.711 section 3 has it, for what is not loud enough to be clipped.
func muLaw(sample int16) byte {
	const bias = 0x84
	sign, magnitude := byte(0), int(sample)
	if magnitude < 0 {
		sign, magnitude = 0x80, -magnitude
	}
	magnitude += bias
	exponent := bits.Len(uint(magnitude)) - 8
	mantissa := byte(magnitude>>(exponent+3)) & 0x0f
	return ^(sign | byte(exponent)<<4 | mantissa)
}
