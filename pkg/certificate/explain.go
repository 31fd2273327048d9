package certificate

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/mholt/acmez/v3/acme"
)

// problem is why the CA gave no certificate, in words.
type problem struct {
	directory string
	reason    string // what the CA or the network said
	advice    string // what to do
	refused   bool   // the CA did not find us, or was asked too often: it wants to be left alone
	err       error
}

func (p *problem) Error() string {
	return fmt.Sprintf("the CA at %s gave no certificate: %s: %s", p.directory, p.reason, p.advice)
}

func (p *problem) Unwrap() error { return p.err }

// explain makes an attempt's error readable.
func explain(err error, a *acmeSource) *problem {
	p := &problem{directory: a.config.DirectoryURL, reason: err.Error(), advice: "check that the daemon's user can write to " + a.directory, err: err}
	var said acme.Problem
	var request *url.Error
	var untrusted *tls.CertificateVerificationError
	switch {
	case errors.As(err, &said):
		p.reason, p.advice = inWords(said), a.advice(said.Type)
		p.refused = said.Type == acme.ProblemTypeRateLimited || isValidation(said.Type)
	case errors.As(err, &untrusted):
		p.reason, p.advice = untrusted.Error(), "check that tls.acme.directory_url is right, and that tls.acme.ca_file holds the root certificate of a CA of your own"
	case errors.As(err, &request):
		p.reason, p.advice = request.Error(), "check that this machine reaches the directory: its DNS, firewall and proxy, and tls.acme.directory_url"
	}
	return p
}

// inWords is what the CA says to people (RFC 8555 section 6.7).
func inWords(said acme.Problem) string {
	words := said.Detail
	for _, sub := range said.Subproblems {
		if sub.Detail != "" {
			words += "; " + sub.Detail
		}
	}
	return strings.TrimSpace(words + " (" + strings.TrimPrefix(said.Type, acme.ProblemTypeNamespace) + ")")
}

// isValidation tells whether the CA looked for us, and did not find us or found somebody else.
func isValidation(problemType string) bool {
	switch problemType {
	case acme.ProblemTypeConnection, acme.ProblemTypeDNS, acme.ProblemTypeTLS, acme.ProblemTypeUnauthorized, acme.ProblemTypeIncorrectResponse:
		return true
	}
	return false
}

// advice is what helps against a problem of the type (RFC 8555 section 6.7).
func (a *acmeSource) advice(problemType string) string {
	if isValidation(problemType) {
		return fmt.Sprintf("check that the A and AAAA records of %s lead to this machine, and that from the Internet %s", a.domain, a.reachable())
	}
	switch problemType {
	case acme.ProblemTypeRateLimited:
		return "wait, the CA allows no more attempts for now"
	case acme.ProblemTypeCAA:
		return "check that the CAA records of " + a.domain + " allow this CA"
	case acme.ProblemTypeRejectedIdentifier, acme.ProblemTypeUnsupportedIdentifier:
		return "check that domain is a public host name, and that this CA gives certificates for it"
	case acme.ProblemTypeInvalidContact, acme.ProblemTypeUnsupportedContact:
		return "check that tls.acme.email is an address that the CA accepts, or empty"
	case acme.ProblemTypeExternalAccountRequired, acme.ProblemTypeUserActionRequired:
		return "check that tls.acme.directory_url is of a CA that needs no account made beforehand"
	case acme.ProblemTypeServerInternal:
		return "wait, the CA has trouble of its own"
	}
	return "see what the CA's documentation says of this"
}

// reachable says which of our ports the CA has to get to.
func (a *acmeSource) reachable() string {
	var ports []string
	if a.config.HTTPPort != 0 {
		ports = append(ports, fmt.Sprintf("TCP port 80 reaches our port %d", a.config.HTTPPort))
	}
	if a.config.TLSPort != 0 {
		ports = append(ports, fmt.Sprintf("TCP port 443 reaches our port %d", a.config.TLSPort))
	}
	return strings.Join(ports, " or ")
}
