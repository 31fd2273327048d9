package config

import (
	"strconv"
	"strings"
)

// Mistake is one thing that is wrong with the configuration.
type Mistake struct {
	Origin  string // "file NAME:LINE", "environment NAME", "flag --NAME"
	Key     string
	Value   string // the offending value in quotes, hidden when it is a secret
	Problem string // what is wrong with it
	Valid   string // what would be right
}

func (m *Mistake) Error() string {
	var b strings.Builder
	if m.Origin != "" {
		b.WriteString(strings.TrimPrefix(m.Origin, "file ") + ": ")
	}
	if m.Key != "" {
		b.WriteString(m.Key + ": ")
	}
	if m.Value != "" {
		b.WriteString(m.Value + " ")
	}
	b.WriteString(m.Problem)
	if m.Valid != "" {
		b.WriteString("; valid: " + m.Valid)
	}
	return b.String()
}

// origin is where a value came from.
type origin struct {
	kind originKind
	name string // of the file, the variable or the flag
	line int    // in the file
}

type originKind int

const (
	fromDefault originKind = iota
	fromFile
	fromEnvironment
	fromFlag
)

func (o origin) String() string {
	switch o.kind {
	case fromFile:
		if o.line > 0 {
			return "file " + o.name + ":" + strconv.Itoa(o.line)
		}
		return "file " + o.name
	case fromEnvironment:
		return "environment " + o.name
	case fromFlag:
		return "flag --" + o.name
	}
	return "default"
}

// nearestFlag returns the flag that looks most like name.
func nearestFlag(name string) string {
	flags := make([]string, 0, len(table)+len(shortFlags))
	for i := range table {
		flags = append(flags, table[i].Name)
	}
	for _, flag := range shortFlags {
		flags = append(flags, flag)
	}
	return Nearest(name, flags)
}

// nearestKey also knows sections, which a file can have.
func nearestKey(name string) string {
	var candidates []string
	for i := range table {
		candidates = append(candidates, table[i].Name)
		for section := parent(table[i].Name); section != ""; section = parent(section) {
			candidates = append(candidates, section)
		}
	}
	return Nearest(name, candidates)
}

func parent(name string) string {
	i := strings.LastIndexByte(name, '.')
	return name[:max(i, 0)]
}

// Nearest returns the candidate that name was probably meant to be. Case, and dashes for underscores, make no difference.
func Nearest(name string, candidates []string) string {
	name = strings.ToLower(strings.ReplaceAll(name, "-", "_"))
	if len(name) > 64 {
		name = name[:64]
	}
	best, bestDistance := "", 0
	for _, c := range candidates {
		plain := strings.ToLower(strings.ReplaceAll(c, "-", "_"))
		d := 2 * distance(name, plain)
		// The right word in the wrong section is a likelier mistake than three wrong letters.
		if leaf(name) == leaf(plain) && d > 5 {
			d = 5 + d/16
		}
		if !strings.Contains(name, ".") { // the section left out
			d = min(d, 3+2*distance(name, leaf(plain)))
		}
		if best == "" || d < bestDistance {
			best, bestDistance = c, d
		}
	}
	return best
}

func leaf(name string) string { return name[strings.LastIndexByte(name, '.')+1:] }

// distance counts the insertions, deletions, replacements and swaps of neighbours that turn a into b.
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
