package daemon

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/maitred/maitred/pkg/config"
	"github.com/maitred/maitred/pkg/httpd"
	"github.com/maitred/maitred/pkg/signaling"
	"github.com/maitred/maitred/pkg/token"
)

// TokenKeys are the keys of a daemon with this configuration. It makes and keeps one where none is configured.
func TokenKeys(c *config.Config) (*token.Keys, error) {
	lines := c.Signaling.TokenKeys
	if len(lines) == 0 {
		line, err := token.LoadOrCreateKey(c.StateDir)
		if err != nil {
			return nil, fmt.Errorf("state_dir: %w (set state_dir to a directory that can be written, or signaling.token_keys)", err)
		}
		lines = []string{line}
	}
	keys, err := token.ParseKeys(lines)
	if err != nil {
		return nil, fmt.Errorf("signaling.token_keys: %w", err)
	}
	return keys, nil
}

// tokenKeys is TokenKeys for a daemon that can do without where everybody may enter: then there are none.
func (d *Daemon) tokenKeys(c *config.Config) (*token.Keys, error) {
	keys, err := TokenKeys(c)
	if err == nil || c.Signaling.Auth == authToken || len(c.Signaling.TokenKeys) > 0 {
		return keys, err
	}
	d.log.Warn("join tokens are refused: there is no key", "error", err)
	return nil, nil
}

const authToken = "token" // signaling.auth

// checkToken is httpd.Config.CheckToken. The user is the same whenever the token comes.
func (d *Daemon) checkToken(client netip.Addr, raw string) (user string, left time.Duration, ok bool) {
	claims, err := d.hub.CheckToken(client, raw)
	if err != nil {
		d.log.Debug("join token refused", "route", "ice-servers", "err", err)
		return "", 0, false
	}
	return tokenUser(claims.ID), time.Until(claims.Expires), true
}

// tokenUser names the relay's user that holds a join token.
func tokenUser(id string) string {
	sum := sha256.Sum256([]byte(id))
	return "token-" + hex.EncodeToString(sum[:16])
}

// mintToken is httpd.Config.MintToken.
func (d *Daemon) mintToken(r httpd.TokenRequest) (httpd.Token, error) {
	keys := d.tokens.Load()
	if keys == nil {
		return httpd.Token{}, httpd.ErrCannotSign
	}
	claims := token.Claims{
		ID: token.NewID(), Room: r.Room, Name: r.Name, Role: r.Role, NotBefore: r.NotBefore, Expires: r.Expires, MaxUses: r.MaxUses,
	}
	raw, err := keys.Mint(claims, time.Now())
	switch {
	case errors.Is(err, token.ErrCannotSign):
		return httpd.Token{}, httpd.ErrCannotSign
	case errors.Is(err, token.ErrClaims):
		return httpd.Token{}, &httpd.InvalidError{Problem: err.Error()}
	}
	return httpd.Token{Token: raw, ID: claims.ID, Expires: r.Expires}, err
}

// message is httpd.Config.Message.
func (d *Daemon) message(room, member string, data json.RawMessage) error {
	var invalid *signaling.InvalidDataError
	switch err := d.hub.Send(room, member, data); {
	case errors.Is(err, signaling.ErrNoSuchRoom):
		return httpd.ErrNoSuchRoom
	case errors.Is(err, signaling.ErrNoSuchMember):
		return httpd.ErrNoSuchMember
	case errors.As(err, &invalid):
		return &httpd.InvalidError{Problem: invalid.Problem}
	default:
		return err
	}
}
