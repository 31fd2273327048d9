package certificate

import (
	"context"
	"log/slog"

	"go.uber.org/zap/zapcore"
)

// zapCore passes on what certmagic logs, as Debug: what concerns operators is logged here, in our words.
type zapCore struct{ log *slog.Logger }

// Enabled implements zapcore.LevelEnabler.
func (c zapCore) Enabled(zapcore.Level) bool {
	return c.log.Enabled(context.Background(), slog.LevelDebug)
}

// With implements zapcore.Core.
func (c zapCore) With(fields []zapcore.Field) zapcore.Core {
	return zapCore{slog.New(c.log.Handler().WithAttrs(attributesOf(fields)))}
}

// Check implements zapcore.Core.
func (c zapCore) Check(entry zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(entry.Level) {
		return checked.AddCore(entry, c)
	}
	return checked
}

// Write implements zapcore.Core.
func (c zapCore) Write(entry zapcore.Entry, fields []zapcore.Field) error {
	c.log.LogAttrs(context.Background(), slog.LevelDebug, "certmagic: "+entry.Message, attributesOf(fields)...)
	return nil
}

// Sync implements zapcore.Core.
func (zapCore) Sync() error { return nil }

func attributesOf(fields []zapcore.Field) []slog.Attr {
	attributes := make([]slog.Attr, 0, len(fields))
	for _, f := range fields {
		encoder := zapcore.NewMapObjectEncoder()
		f.AddTo(encoder)
		for key, value := range encoder.Fields {
			attributes = append(attributes, slog.Any(key, value))
		}
	}
	return attributes
}

// debugHandler makes every record one for developers. The ACME client logs through it.
type debugHandler struct{ slog.Handler }

// Enabled implements slog.Handler.
func (h debugHandler) Enabled(ctx context.Context, _ slog.Level) bool {
	return h.Handler.Enabled(ctx, slog.LevelDebug)
}

// Handle implements slog.Handler.
func (h debugHandler) Handle(ctx context.Context, r slog.Record) error {
	r.Level = slog.LevelDebug
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h debugHandler) WithAttrs(attributes []slog.Attr) slog.Handler {
	return debugHandler{h.Handler.WithAttrs(attributes)}
}

// WithGroup implements slog.Handler.
func (h debugHandler) WithGroup(name string) slog.Handler {
	return debugHandler{h.Handler.WithGroup(name)}
}
