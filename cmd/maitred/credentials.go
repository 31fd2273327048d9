package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/maitred/maitred/pkg/credential"
	"github.com/maitred/maitred/pkg/daemon"
)

// minted is what --json prints: an RTCIceServer with its time to live in seconds.
type minted struct {
	URLs       []string  `json:"urls"`
	Username   string    `json:"username"`
	Credential string    `json:"credential"`
	TTL        int64     `json:"ttl"`
	Expires    time.Time `json:"expires"`
}

func credentials(args []string, out, errOut io.Writer) error {
	flags := newConfigFlags("credentials", "credentials [--user ID] [--ttl 1h] [--json] [--config FILE] [--KEY VALUE …]", out)
	user := flags.String("user", "", "`ID` inside the username (default a random one)")
	ttl := flags.Duration("ttl", 0, "how long the credential opens allocations (default turn.credential_ttl)")
	asJSON := flags.Bool("json", false, "print JSON, in the form of an RTCIceServer")
	c, _, err := flags.load(args, errOut)
	if err != nil {
		return err
	}
	if err := noArguments(flags.FlagSet); err != nil {
		return err
	}
	switch {
	case flags.Changed("ttl") && *ttl < time.Second:
		return usageError("--ttl %v: a credential lives for one second at least", *ttl)
	case *ttl == 0:
		*ttl = c.TURN.CredentialTTL
	}
	if credential.Reserved(*user) {
		return usageError("--user %q: ids that begin like this are those of members of rooms", *user)
	}
	if len(*user) > 256 {
		return usageError("--user is %d bytes long; 256 is the most that fits into a username", len(*user))
	}
	authority, err := daemon.NewAuthority(c)
	if err != nil {
		return err
	}
	urls, err := daemon.ConfiguredURLs(c, false)
	if err != nil {
		return err
	}
	if kept := daemon.SecretKept(c); *ttl > kept {
		fmt.Fprintf(errOut, "maitred: warning: --ttl %v: the generated secret may be replaced before that, and verifies for %v then; set turn.secrets, or turn.secret_rotation to 0\n", *ttl, kept)
	}
	made := authority.Mint(*user, *ttl)
	m := minted{URLs: urls, Username: made.Username, Credential: made.Password, TTL: int64(*ttl / time.Second), Expires: made.Expires}
	if *asJSON {
		return json.NewEncoder(out).Encode(m)
	}
	return m.write(out)
}

func (m minted) write(out io.Writer) error {
	t := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	for _, u := range m.URLs {
		fmt.Fprintf(t, "URL\t%s\n", u) // errors surface in Flush
	}
	fmt.Fprintf(t, "Username\t%s\nPassword\t%s\nExpires\t%s\n", m.Username, m.Credential, m.Expires.Local().Format(time.RFC1123))
	return t.Flush()
}
