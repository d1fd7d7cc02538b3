package core

import (
	"context"
	"log"
	"log/slog"
	"strings"

	"ringback/internal/host"
)

type lines struct {
	attributes string
	group      string
}

func init() {
	log.SetFlags(0)
	slog.SetDefault(slog.New(lines{}))
}

func (lines) Enabled(context.Context, slog.Level) bool { return true }

func (l lines) Handle(_ context.Context, record slog.Record) error {
	level := uint8(0)
	switch {
	case record.Level >= slog.LevelError:
		level = 3
	case record.Level >= slog.LevelWarn:
		level = 2
	case record.Level >= slog.LevelInfo:
		level = 1
	}
	text := strings.Builder{}
	text.WriteString(record.Message)
	text.WriteString(l.attributes)
	record.Attrs(func(attribute slog.Attr) bool {
		text.WriteString(" " + l.group + attribute.String())
		return true
	})
	host.Log(level, text.String())
	return nil
}

func (l lines) WithAttrs(attributes []slog.Attr) slog.Handler {
	for _, attribute := range attributes {
		l.attributes += " " + l.group + attribute.String()
	}
	return l
}

func (l lines) WithGroup(name string) slog.Handler {
	l.group += name + "."
	return l
}
