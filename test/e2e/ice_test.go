package e2e

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/maitred/maitred/test/harness"
)

// gathered is what a page sees while it gathers candidates, as the trickle-ice
// sample shows it.
type gathered struct {
	Candidates []string `json:"candidates"` // "type protocol relayProtocol"
	Errors     []int    `json:"errors"`
	Details    []string `json:"details"`
	State      string   `json:"state"`
}

// gather takes iceServers as JSON.
func (p *tab) gather(iceServers string) gathered {
	p.t.Helper()
	text := value[string](p, `(async () => {
		await navigator.mediaDevices.getUserMedia({audio: true});
		const pc = new RTCPeerConnection({iceServers: `+iceServers+`, iceTransportPolicy: "relay"});
		const seen = {candidates: [], errors: [], details: []};
		pc.addEventListener("icecandidate", ({candidate: c}) => {
			// Chromium names the relay's protocol only where it is not UDP.
			if (c?.candidate) seen.candidates.push([c.type, c.protocol, c.relayProtocol || "udp"].join(" "));
		});
		pc.addEventListener("icecandidateerror", (e) => {
			seen.errors.push(e.errorCode);
			seen.details.push([e.errorCode, e.errorText, e.url].join(" "));
		});
		const complete = new Promise((resolve) => pc.addEventListener("icegatheringstatechange",
			() => pc.iceGatheringState === "complete" && resolve()));
		// Not a wait but a bound: gathering that never completes is reported as such.
		const late = new Promise((resolve) => setTimeout(resolve, 8000));
		pc.createDataChannel("x");
		await pc.setLocalDescription();
		await Promise.race([complete, late]);
		seen.state = pc.iceGatheringState;
		pc.close();
		return JSON.stringify(seen);
	})()`)
	var seen gathered
	if err := json.Unmarshal([]byte(text), &seen); err != nil {
		p.t.Fatalf("%s: %v in %s", p.name, err, text)
	}
	return seen
}

// credentials asks the command line, which shares the state directory.
func credentials(t *testing.T, d *harness.Daemon) (username, credential string) {
	t.Helper()
	output := d.Run("credentials", "--json")
	var answer struct {
		Username, Credential string
	}
	if err := json.Unmarshal(output, &answer); err != nil || answer.Username == "" || answer.Credential == "" {
		t.Fatalf("maitred credentials --json: %v in %s", err, output)
	}
	return answer.Username, answer.Credential
}

func iceServers(username, credential string, urls ...string) string {
	text, err := json.Marshal([]map[string]any{{"urls": urls, "username": username, "credential": credential}})
	if err != nil {
		panic(err)
	}
	return string(text)
}

const restSecret = "known-to-this-test-as-well"

// expired is a credential that was right until 2001.
func expired() (username, credential string) {
	username = "1000000000:someone"
	mac := hmac.New(sha1.New, []byte(restSecret))
	mac.Write([]byte(username))
	return username, base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// TestTrickleICE does what people do with the trickle-ice sample: a credential
// from the command line gathers, a wrong password shows 401.
func TestTrickleICE(t *testing.T) {
	d := harness.Start(t, "MAITRED_TURN_SECRETS="+restSecret)
	page := startBrowser(t, headlessShell).open("trickle", d.Page("/healthz"))
	username, credential := credentials(t, d)
	oldName, oldCredential := expired()
	for _, transport := range []string{"udp", "tcp"} {
		address := fmt.Sprintf("turn:%s?transport=%s", d.Listening("turn-"+transport), transport)
		seen := page.gather(iceServers(username, credential, address))
		if len(seen.Candidates) == 0 || len(seen.Errors) != 0 || seen.State != "complete" {
			t.Errorf("right password over %s: %+v", transport, seen)
		}
		for _, c := range seen.Candidates {
			if c != "relay udp "+transport {
				t.Errorf("candidate %q over %s", c, transport)
			}
		}
		for what, servers := range map[string]string{
			"wrong password": iceServers(username, credential+"x", address),
			"expired":        iceServers(oldName, oldCredential, address),
			"no expiry":      iceServers("someone", credential, address),
		} {
			if seen := page.gather(servers); !slices.Contains(seen.Errors, 401) || len(seen.Candidates) != 0 {
				t.Errorf("%s over %s: want 401, got %+v", what, transport, seen)
			}
		}
	}
}
