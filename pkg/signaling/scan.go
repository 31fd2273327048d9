package signaling

import (
	"encoding/binary"
	"unicode/utf8"
)

// scan takes a message apart in one pass, as split does, into f, which is empty before, and knows at the same time that it is valid: JSON
// (RFC 8259), UTF-8, and not too deep. It is for the messages that nearly all are. Where it reports false, split and its checks find out what is wrong.
func scan(f *fields, raw []byte) bool {
	b := skipSpace(raw)
	if len(b) == 0 || b[0] != '{' {
		return false
	}
	f.list = f.few[:0]
	b = skipSpace(b[1:])
	for len(b) > 0 && b[0] == '"' && len(f.list) < maxFields {
		n := scanString(b)
		if n == 0 {
			return false
		}
		name, err := text(b[:n])
		if b = skipSpace(b[n:]); err != nil || len(b) == 0 || b[0] != ':' {
			return false
		}
		b = skipSpace(b[1:])
		n = scanValue(b, MaxDepth-1)
		if n == 0 {
			return false
		}
		f.list = append(f.list, field{name, b[:n:n]})
		if b = skipSpace(b[n:]); len(b) == 0 || b[0] != ',' {
			break
		}
		if b = skipSpace(b[1:]); len(b) == 0 || b[0] != '"' {
			return false
		}
	}
	return len(b) > 0 && b[0] == '}' && len(skipSpace(b[1:])) == 0
}

func skipSpace(b []byte) []byte {
	for len(b) > 0 && isSpace(b[0]) {
		b = b[1:]
	}
	return b
}

// scanValue is the length of the valid JSON value that b begins with, in which objects and arrays lie at most depth deep; 0 if there is none.
func scanValue(b []byte, depth int) int {
	if len(b) == 0 {
		return 0
	}
	switch c := b[0]; {
	case c == '"':
		return scanString(b)
	case c == '{' && depth > 0:
		return scanMembers(b, '}', depth)
	case c == '[' && depth > 0:
		return scanMembers(b, ']', depth)
	case c == 't':
		return scanWord(b, "true")
	case c == 'f':
		return scanWord(b, "false")
	case c == 'n':
		return scanWord(b, "null")
	}
	return scanNumber(b)
}

// scanMembers is the length of an object or an array.
func scanMembers(b []byte, end byte, depth int) int {
	rest := skipSpace(b[1:])
	if len(rest) > 0 && rest[0] == end {
		return len(b) - len(rest) + 1
	}
	for {
		if end == '}' {
			n := 0
			if len(rest) > 0 && rest[0] == '"' {
				n = scanString(rest)
			}
			if rest = skipSpace(rest[n:]); n == 0 || len(rest) == 0 || rest[0] != ':' {
				return 0
			}
			rest = skipSpace(rest[1:])
		}
		n := scanValue(rest, depth-1)
		if rest = skipSpace(rest[n:]); n == 0 || len(rest) == 0 {
			return 0
		}
		switch rest[0] {
		case end:
			return len(b) - len(rest) + 1
		case ',':
			rest = skipSpace(rest[1:])
		default:
			return 0
		}
	}
}

func scanWord(b []byte, word string) int {
	if len(b) < len(word) || string(b[:len(word)]) != word {
		return 0
	}
	return len(word)
}

// scanString is the length of a string with its quotes.
func scanString(b []byte) int {
	if len(b) == 0 {
		return 0
	}
	ascii := true
	for i := 1 + countPlain(b[1:]); i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			if !ascii && !utf8.Valid(b[1:i]) {
				return 0
			}
			return i + 1
		case c == '\\':
			n := scanEscape(b[i+1:])
			if n == 0 {
				return 0
			}
			i += n
			i += countPlain(b[i+1:])
		case c < ' ':
			return 0
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	return 0
}

// countPlain counts characters, eight at a time, that say nothing in a string but themselves. There may be more.
func countPlain(b []byte) (n int) {
	const each, high = 0x0101010101010101, 0x8080808080808080
	hasZero := func(v uint64) uint64 { return (v - each) &^ v }
	for ; len(b) >= 8; b = b[8:] {
		v := binary.LittleEndian.Uint64(b)
		below := (v - ' '*each) &^ v // a byte below a space has its highest bit in it
		if (v|below|hasZero(v^'"'*each)|hasZero(v^'\\'*each))&high != 0 {
			break
		}
		n += 8
	}
	return n
}

// scanEscape is the length of what stands behind a backslash.
func scanEscape(b []byte) int {
	if len(b) == 0 {
		return 0
	}
	switch b[0] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 1
	case 'u':
		const size = 5
		if len(b) < size {
			return 0
		}
		for _, c := range b[1:size] {
			if !isDigit(c) && (c|0x20 < 'a' || c|0x20 > 'f') {
				return 0
			}
		}
		return size
	}
	return 0
}

// scanNumber is the length of a number (RFC 8259 section 6).
func scanNumber(b []byte) int {
	i := 0
	if i < len(b) && b[i] == '-' {
		i++
	}
	whole := countDigits(b[i:])
	if whole == 0 || whole > 1 && b[i] == '0' {
		return 0
	}
	i += whole
	if i < len(b) && b[i] == '.' {
		n := countDigits(b[i+1:])
		if n == 0 {
			return 0
		}
		i += 1 + n
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		n := countDigits(b[i:])
		if n == 0 {
			return 0
		}
		i += n
	}
	return i
}

func countDigits(b []byte) (n int) {
	for n < len(b) && isDigit(b[n]) {
		n++
	}
	return n
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
