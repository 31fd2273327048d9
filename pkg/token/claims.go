package token

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"
)

// lastSecond is the end of the year 9999, the last that RFC 3339 can write.
const lastSecond = 253402300799

// parseClaims reads the claims of a token whose signature is right, and tells whether it is valid now.
func parseClaims(raw []byte, now time.Time) (Claims, error) {
	values, err := members(raw)
	if err != nil {
		return Claims{}, err
	}
	f := fields{values: values}
	c := Claims{
		Room: f.text("room"), Name: f.text("name"), Role: f.text("role"), ID: f.text("jti"), MaxUses: f.count("max_uses"),
		NotBefore: f.time("nbf"), Expires: f.time("exp"),
	}
	issued := f.time("iat")
	f.audience()
	if !f.has("role") {
		c.Role = RoleMember
	}
	switch {
	case f.err != nil:
		return Claims{}, f.err
	case !f.has("exp"):
		return Claims{}, claimError("exp", "is missing")
	case f.has("jti") && c.ID == "":
		return Claims{}, claimError("jti", "is empty")
	}
	if err := c.check(); err != nil {
		return Claims{}, err
	}
	switch latest := now.Add(leeway); {
	case !now.Before(c.Expires): // RFC 7519 section 4.1.4
		return Claims{}, ErrExpired
	case c.NotBefore.After(latest), issued.After(latest):
		return Claims{}, ErrNotYetValid
	}
	return c, nil
}

// check holds for the tokens that are minted and for those that are verified.
func (c Claims) check() error {
	switch {
	case len(c.Room) == 0 || len(c.Room) > maxRoom || !only(c.Room, isBase64URL):
		return claimError("room", fmt.Sprintf("must be 1 to %d of the characters A-Z a-z 0-9 - _", maxRoom))
	case utf8.RuneCountInString(c.Name) > maxName || !utf8.ValidString(c.Name):
		return claimError("name", fmt.Sprintf("must be at most %d characters", maxName))
	case c.Role != RoleModerator && c.Role != RoleMember:
		return claimError("role", "must be moderator or member")
	case len(c.ID) > maxID || !utf8.ValidString(c.ID):
		return claimError("jti", fmt.Sprintf("must be at most %d bytes", maxID))
	case c.MaxUses < 0 || c.MaxUses > math.MaxInt32:
		return claimError("max_uses", fmt.Sprintf("must be a whole number from 1 to %d", math.MaxInt32))
	case c.MaxUses > 0 && c.ID == "":
		return claimError("max_uses", "needs a jti, by which the uses are counted")
	}
	return nil
}

func claimError(name, problem string) error { return fmt.Errorf("%w: %s %s", ErrClaims, name, problem) }

// members takes a JSON object apart. One that has a name twice is refused, since readers differ about which counts (RFC 7515 section 4, RFC 7519 section 4).
func members(raw []byte) (map[string]json.RawMessage, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	if first, err := d.Token(); err != nil || first != json.Delim('{') || !utf8.Valid(raw) {
		return nil, fmt.Errorf("%w: header and claims must be JSON objects in UTF-8", ErrMalformed)
	}
	values := map[string]json.RawMessage{}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, ErrMalformed
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, ErrMalformed
		}
		if _, twice := values[name.(string)]; twice {
			return nil, fmt.Errorf("%w: a member of the header or the claims is there twice", ErrMalformed)
		}
		values[name.(string)] = value
	}
	_, end := d.Token()
	if _, after := d.Token(); end != nil || after != io.EOF {
		return nil, ErrMalformed
	}
	return values, nil
}

// text reads a JSON string.
func text(value json.RawMessage) (s string, ok bool) {
	return s, len(value) > 0 && value[0] == '"' && json.Unmarshal(value, &s) == nil
}

// fields reads claims of certain types. What is not there reads as zero; err is the first that is something else.
type fields struct {
	values map[string]json.RawMessage
	err    error
}

func (f *fields) has(name string) bool { return f.values[name] != nil }

func (f *fields) fail(name, problem string) {
	if f.err == nil {
		f.err = claimError(name, problem)
	}
}

func (f *fields) text(name string) string {
	if !f.has(name) {
		return ""
	}
	s, ok := text(f.values[name])
	if !ok {
		f.fail(name, "must be a string")
	}
	return s
}

// time reads a NumericDate (RFC 7519 section 2): seconds since 1970, which may have a fraction.
func (f *fields) time(name string) time.Time {
	if !f.has(name) {
		return time.Time{}
	}
	// Of JSON's values, ParseFloat takes numbers only.
	seconds, err := strconv.ParseFloat(string(f.values[name]), 64)
	if err != nil || seconds < 0 || seconds > lastSecond {
		f.fail(name, "must be a number of seconds since 1970")
		return time.Time{}
	}
	whole, fraction := math.Modf(seconds)
	return time.Unix(int64(whole), int64(fraction*1e9)).UTC()
}

// count reads a whole number without fraction or exponent, 1 or more.
func (f *fields) count(name string) int {
	if !f.has(name) {
		return 0
	}
	n, err := strconv.ParseInt(string(f.values[name]), 10, 32)
	if err != nil || n < 1 {
		f.fail(name, fmt.Sprintf("must be a whole number from 1 to %d", math.MaxInt32))
	}
	return int(n)
}

// audience refuses a token that is for others (RFC 7519 section 4.1.3: one string, or an array of them).
func (f *fields) audience() {
	if !f.has("aud") {
		return
	}
	var all []string
	one, ok := text(f.values["aud"])
	if ok {
		all = []string{one}
	} else if err := json.Unmarshal(f.values["aud"], &all); err != nil {
		f.fail("aud", "must be a string or an array of strings")
	}
	if !slices.Contains(all, audience) {
		f.fail("aud", "does not name "+audience)
	}
}
