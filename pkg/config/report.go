package config

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// Report says for every key which value is in effect and where it came from.
type Report struct {
	Values   []Value // in the order of Keys
	Warnings []string
}

// Value is one line of a report.
type Value struct {
	Key    string
	Text   string // hidden when it is a secret
	Origin string // "default", "file NAME:LINE", "environment NAME", "flag --NAME"

	full string // as Text, but not hidden; never shown
}

// Changed lists the keys whose value differs from that in the older report.
func (r *Report) Changed(older *Report) (changed []Value) {
	for i, v := range r.Values {
		if v.full != older.Values[i].full {
			changed = append(changed, v)
		}
	}
	return changed
}

func (l *loader) report(cfg *Config) *Report {
	r := &Report{Warnings: slices.Clone(l.warnings)}
	for i := range table {
		k := &table[i]
		text := k.show(cfg)
		full := text
		switch {
		case text == "" && k.Empty != "":
			text = "(" + k.Empty + ")"
		case text == "":
			text = "(none)"
		case k.Secret:
			text = "(hidden)"
		}
		if address, query, _ := strings.Cut(text, "?"); k.Name == "webhooks.url" && query != "" {
			text = address + "?…"
		}
		if k.Name == "turn.external_ip" && len(cfg.TURN.ExternalIP) == 0 {
			text = "auto"
		}
		r.Values = append(r.Values, Value{Key: k.Name, Text: text, Origin: l.origins[k.Name].String(), full: full})
	}
	return r
}

// Write prints the values in three aligned columns. Warnings are the caller's to show.
func (r *Report) Write(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, v := range r.Values {
		if _, err := fmt.Fprintf(table, "%s\t%s\t%s\n", v.Key, v.Text, v.Origin); err != nil {
			return err
		}
	}
	return table.Flush()
}
