package doctor

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/keylime/keylime-tenant/client"
)

// Limits of the difference between two clocks.
const (
	clockFine = 5 * time.Second
	clockBad  = 5 * time.Minute
)

// talker makes a client of the server; pin may be empty. nil if the material is
// missing.
func (x *examiner) talker(s *seen, m *client.TLSMaterial, pin string) *client.Client {
	if m == nil {
		return nil
	}
	c, err := client.New(client.Config{Name: s.role.name, Host: s.at.Host, Port: s.at.Port, TLS: m, PinnedPEM: pin, Timeout: x.Limit})
	if err != nil {
		return nil // reach has told why
	}
	return c
}

// versions asks for the versions of the API, and compares clocks by the answer.
// It returns what both speak; ok is false if the server gave no sensible answer.
// If it says nothing because of our certificate, or for want of one, no finding
// is noted, and refused is true.
func (x *examiner) versions(ctx context.Context, s *seen, c *client.Client) (n client.Negotiation, ok, refused bool) {
	h := &s.hop
	before := x.Now()
	reply, err := ask(ctx, c)
	kind := client.KindOf(err)
	if kind == client.ClientRefused || kind == client.ServerUntrusted {
		return n, false, true
	}
	x.clock(h, reply, before, x.Now())
	switch {
	case err == nil:
	case reply != nil && reply.HTTP == http.StatusGone:
		h.add(Finding{Check: CheckPushMode, Level: Note, Class: ClassOther, Seen: "it is a verifier for agents of the push model (it answers 410 to the question for versions)",
			Why: "agents must attest of their own accord; a verifier serves one model only", Fix: "add agents with --push-model, and have no payload for them"})
		h.skip(CheckVersions, ClassOther, "a verifier of the push model does not tell its versions; %s is spoken", client.Current())
		return client.Negotiation{Version: client.Current(), Gone: true}, true, false
	case kind == client.TimedOut || kind == client.Unreachable || kind == client.Canceled:
		h.add(Finding{Check: CheckVersions, Level: Problem, Class: ClassNetwork, Seen: err.Error(), Why: "it takes connections, but does not answer", Fix: "look at its log, restart it (" + unitHint(s) + "), or give it more time with --timeout"})
		return n, false, false
	}
	n, err = c.Negotiate(ctx)
	var none *client.NoCommonVersionError
	switch {
	case errors.As(err, &none):
		h.add(Finding{Check: CheckVersions, Level: Problem, Class: ClassOther, Seen: safe(none.Error()), Why: "no call can succeed", Fix: "update the older of the two"})
		return n, false, false
	case err != nil:
		h.add(Finding{Check: CheckVersions, Level: Problem, Class: ClassOther, Seen: safe(err.Error()), Why: "no call can succeed", Fix: "look at its log"})
		return n, false, false
	case n.Fallback && n.Version != client.Current():
		h.add(Finding{Check: CheckVersions, Level: Note, Class: ClassOther, Seen: fmt.Sprintf("it does not tell its versions; the newest that it takes is %s, which is spoken", n.Version),
			Why: "old registrars do so", Fix: "nothing has to be done; a newer Keylime tells"})
		return n, true, false
	case n.Fallback:
		f := Finding{Check: CheckVersions, Level: Warning, Class: ClassOther, Seen: fmt.Sprintf("it does not tell its versions (%v); %s is spoken", n.Err, n.Version),
			Why: "if it does not know that version, calls fail with 404 or 400", Fix: "is this a Keylime server?"}
		if s.role.name == client.RegistrarName {
			f.Fix = "old registrars do not tell: update it; or is this no registrar?"
		}
		h.add(f)
		return n, true, false
	}
	h.ok(CheckVersions, ClassOther, "it speaks %s, we %s: %s is used", versionRange(n.Theirs), versionRange(n.Ours), n.Version)
	return n, true, false
}

func versionRange(versions []client.Version) string {
	if len(versions) == 0 {
		return "nothing"
	}
	first, last := versions[0], versions[len(versions)-1]
	if first == last {
		return first.String()
	}
	return first.String() + " to " + last.String()
}

// clock compares the Date of an answer with our clock. Dates have no fractions
// of a second, and the answer took a while.
func (x *examiner) clock(h *Hop, reply *client.Reply, before, after time.Time) {
	if reply == nil {
		h.skip(CheckClock, ClassOther, "there was no answer whose time could be compared")
		return
	}
	theirs, err := http.ParseTime(reply.Header.Get("Date"))
	if err != nil {
		h.skip(CheckClock, ClassOther, "its answers do not bear a time")
		return
	}
	// Their clock at the time of writing, as seen from ours: between before and
	// after, and up to a second later than it says.
	var off time.Duration
	switch {
	case theirs.Add(time.Second).Before(before):
		off = theirs.Add(time.Second).Sub(before)
	case theirs.After(after):
		off = theirs.Sub(after)
	}
	size, word := off, "ahead of"
	if off < 0 {
		size, word = -off, "behind"
	}
	if size <= clockFine {
		h.ok(CheckClock, ClassOther, "its clock agrees with ours")
		return
	}
	f := Finding{Check: CheckClock, Level: Warning, Class: ClassOther, Seen: fmt.Sprintf("its clock is %s %s ours", span(size), word),
		Why: "how long ago an attestation was, is told wrong; certificates made just now may not be valid yet on the other side",
		Fix: "set the clock that is wrong (timedatectl set-ntp true)"}
	if size > clockBad {
		f.Level = Problem
	}
	h.add(f)
}

// required looks whether the server gives away its list of agents to somebody
// without a certificate (CVE-2026-1709 was a registrar that does).
func (x *examiner) required(ctx context.Context, s *seen, version client.Version) {
	h := &s.hop
	c := x.talker(s, x.material.anonymous, "")
	defer c.Close()
	c.Use(version)
	var list struct {
		UUIDs []any `json:"uuids"`
	}
	reply, err := c.Do(ctx, client.Call{Method: http.MethodGet, Path: "/agents/", Into: &list})
	switch kind := client.KindOf(err); {
	case err == nil && list.UUIDs != nil:
		f := Finding{Check: CheckClientRequired, Level: Problem, Class: ClassTLS, Seen: fmt.Sprintf("it lists its agents (%d) to anybody: a call without a client certificate was answered", len(list.UUIDs)),
			Why: "whoever reaches the port can read, and probably delete, records of agents",
			Fix: "let nobody reach the port but verifier and operators; is something in front of it that adds a certificate?"}
		if s.role.name == client.RegistrarName {
			f.Why = "it has CVE-2026-1709: whoever reaches the port can read, list and delete agents"
			f.Fix = "update Keylime there to 7.12.2, 7.13.1, 7.14.0 or later; until then let nobody but verifier and operators reach the port"
		}
		h.add(f)
	case kind == client.Unauthorized:
		h.ok(CheckClientRequired, ClassTLS, "without a client certificate it refuses (HTTP %d)", reply.HTTP)
	case kind == client.ClientRefused:
		h.ok(CheckClientRequired, ClassTLS, "without a client certificate it ends the connection")
	case err == nil:
		h.skip(CheckClientRequired, ClassTLS, "to a call without a client certificate it gave an answer that is no list of agents")
	default:
		h.skip(CheckClientRequired, ClassTLS, "a call without a client certificate told nothing: %s", safe(err.Error()))
	}
}

// accepted looks whether the server takes our certificate for an
// administrator's.
func (x *examiner) accepted(ctx context.Context, s *seen, version client.Version) {
	h := &s.hop
	c := x.talker(s, x.material.ours, "")
	if c == nil {
		h.skip(CheckClientAccepted, ClassTLS, "our certificate and key cannot be used, see above")
		return
	}
	defer c.Close()
	c.Use(version)
	_, err := c.Do(ctx, client.Call{Method: http.MethodGet, Path: "/agents/"})
	switch kind := client.KindOf(err); kind {
	case client.ClientRefused, client.Unauthorized:
		h.add(x.refused(s, err))
	default:
		if err == nil {
			h.ok(CheckClientAccepted, ClassTLS, "it takes our certificate for an administrator's")
			return
		}
		h.add(Finding{Check: CheckClientAccepted, Level: Problem, Class: classOfKind(kind), Seen: safe(err.Error()), Why: "a plain question for the list of agents should be answered", Fix: fixOf(err, "look at its log")})
	}
}

// refused is the finding about a server that does not take our certificate.
func (x *examiner) refused(s *seen, err error) Finding {
	f := Finding{Check: CheckClientAccepted, Level: Problem, Class: ClassTLS, Seen: safe(err.Error()), Why: "no call that needs an administrator works", Fix: fixOf(err, "")}
	if len(s.tls.acceptable) > 0 {
		f.Why += "; it says it accepts certificates of " + some(s.tls.acceptable)
	}
	if ours := x.material.ours.Certificate(); s.tls.leaf() != nil && s.role.name != client.AgentName && !selfIssued(s.tls.leaf()) {
		if string(ours.RawIssuer) == string(s.tls.leaf().RawIssuer) && !slices.Equal(ours.AuthorityKeyId, s.tls.leaf().AuthorityKeyId) {
			f.Seen += fmt.Sprintf("; our certificate is of the CA %s%s, the server's of one of the same name%s: the CA was made anew", issuer(ours), keyIDText(ours.AuthorityKeyId), keyIDText(s.tls.leaf().AuthorityKeyId))
			f.Fix = "copy client-cert.crt and client-private.pem (and cacert.crt) anew from the cv_ca directory of the verifier"
		}
	}
	return f
}

// fixOf is the advice of an error of package client.
func fixOf(err error, otherwise string) string {
	var e *client.Error
	if errors.As(err, &e) && e.Hint != "" {
		return e.Hint
	}
	return otherwise
}

func classOfKind(kind client.Kind) Class {
	switch kind {
	case client.Unreachable, client.TimedOut:
		return ClassNetwork
	case client.ServerUntrusted, client.ClientRefused, client.Unauthorized:
		return ClassTLS
	}
	return ClassOther
}

// ask asks for versions, the one thing that every server tells.
func ask(ctx context.Context, c *client.Client) (*client.Reply, error) {
	return c.Do(ctx, client.Call{Method: http.MethodGet, Path: "/version", NoVersion: true})
}
