package doctor

import (
	"context"
	"fmt"

	"github.com/keylime/keylime-tenant/client"
)

// registrar looks at the registrar.
func (x *examiner) registrar(ctx context.Context) *seen {
	s := x.newSeen(registrarRole(), x.Registrar)
	x.server(ctx, s)
	return s
}

// verifier looks at the verifier.
func (x *examiner) verifier(ctx context.Context) *seen {
	s := x.newSeen(verifierRole(), x.Verifier)
	x.server(ctx, s)
	return s
}

// unseen notes the checks that a failure before them has made impossible.
func (s *seen) unseen(why string, checks ...Check) {
	for _, check := range checks {
		class := ClassOther
		switch check {
		case CheckTCP:
			class = ClassNetwork
		case CheckTLSSpoken, CheckChain, CheckClientAsked, CheckClientRequired, CheckClientAccepted, CheckAgentPin, CheckAgentTLS:
			class = ClassTLS
		}
		s.hop.skip(check, class, "%s", why)
	}
}

// server looks at registrar or verifier.
func (x *examiner) server(ctx context.Context, s *seen) {
	later := []Check{CheckChain, CheckClientAsked, CheckClientRequired, CheckClientAccepted, CheckVersions, CheckClock}
	addr := x.reach(ctx, s)
	if addr == "" {
		s.unseen("there is no connection", append([]Check{CheckTLSSpoken}, later...)...)
		return
	}
	if !x.secure(ctx, s, addr) {
		s.unseen("there is no TLS", later...)
		return
	}
	x.certificate(s)
	x.asked(s)
	n, ok, shy := x.ask(ctx, s)
	switch {
	case shy:
		s.hop.ok(CheckClientRequired, ClassTLS, "without a client certificate it ends the connection")
	case ok:
		x.required(ctx, s, n.Version)
	default:
		s.unseen("it does not answer as a Keylime server does", CheckClientRequired)
	}
	if !ok && s.silent() {
		s.unseen("it does not answer", CheckClientAccepted, CheckRelease)
		return
	}
	version := client.Current()
	if ok {
		version = n.Version
	}
	x.accepted(ctx, s, version)
	x.release(s, n)
}

// ask asks for versions, without our certificate first; shy says that this is
// not enough for the server. Then it is asked with it.
func (x *examiner) ask(ctx context.Context, s *seen) (n client.Negotiation, ok, shy bool) {
	c := x.talker(s, x.material.anonymous, "")
	n, ok, shy = x.versions(ctx, s, c)
	c.Close()
	if !shy {
		return n, ok, false
	}
	if c = x.talker(s, x.material.ours, ""); c == nil {
		s.unseen("it says nothing without our certificate, which cannot be used, see above", CheckVersions, CheckClock)
		return n, false, true
	}
	defer c.Close()
	n, ok, refused := x.versions(ctx, s, c)
	if refused {
		s.unseen("it refuses our certificate", CheckVersions, CheckClock)
	}
	return n, ok, true
}

// silent says that the server did not answer the question for versions.
func (s *seen) silent() bool {
	for _, f := range s.hop.Findings {
		if f.Check == CheckVersions && f.Level == Problem && f.Class == ClassNetwork {
			return true
		}
	}
	return false
}

// anyServer looks at a server of unknown kind.
func (x *examiner) anyServer(ctx context.Context, at Server) *seen {
	s := x.newSeen(serverRole(), at)
	addr := x.reach(ctx, s)
	if addr == "" {
		s.unseen("there is no connection", CheckTLSSpoken, CheckChain, CheckClientAsked, CheckClientAccepted, CheckVersions, CheckClock)
		return s
	}
	if !x.secure(ctx, s, addr) {
		s.unseen("there is no TLS", CheckChain, CheckClientAsked, CheckClientAccepted, CheckVersions, CheckClock)
		return s
	}
	x.certificate(s)
	x.asked(s)
	n, ok, shy := x.ask(ctx, s)
	switch {
	case shy:
		s.hop.ok(CheckClientRequired, ClassTLS, "without a client certificate it ends the connection")
	case ok:
		x.required(ctx, s, n.Version)
	default:
		s.unseen("it does not answer as a Keylime server does", CheckClientRequired)
	}
	x.handshakeAccepted(ctx, s)
	return s
}

// handshakeAccepted looks whether the connection survives our certificate. What
// rights it gives is left open: that depends on what the server is.
func (x *examiner) handshakeAccepted(ctx context.Context, s *seen) {
	h := &s.hop
	c := x.talker(s, x.material.ours, "")
	if c == nil {
		h.skip(CheckClientAccepted, ClassTLS, "our certificate and key cannot be used, see above")
		return
	}
	defer c.Close()
	reply, err := ask(ctx, c)
	switch kind := client.KindOf(err); {
	case reply != nil:
		h.ok(CheckClientAccepted, ClassTLS, "the connection survives our certificate (GET /version: HTTP %d)", reply.HTTP)
	case kind == client.ClientRefused:
		h.add(x.refused(s, err))
	default:
		h.skip(CheckClientAccepted, ClassTLS, "a call with our certificate told nothing: %s", safe(err.Error()))
	}
}

// compare looks whether registrar and verifier have certificates of one CA, as
// they have in Keylime's own set-up. It is worth a finding only if both have
// shown one.
func (x *examiner) compare(registrar, verifier *seen) (Hop, bool) {
	a, b := registrar.tls.leaf(), verifier.tls.leaf()
	if a == nil || b == nil {
		return Hop{}, false
	}
	h := Hop{Name: "registrar and verifier"}
	sameName := string(a.RawIssuer) == string(b.RawIssuer)
	sameKey := string(a.AuthorityKeyId) == string(b.AuthorityKeyId)
	switch {
	case registrar.ca != "" && registrar.ca == verifier.ca, registrar.ca == "" && verifier.ca == "" && sameName && sameKey:
		h.ok(CheckSameCA, ClassTLS, "their certificates are of one CA, %s", issuer(a))
	case registrar.ca != "" && verifier.ca != "":
		h.add(Finding{Check: CheckSameCA, Level: Note, Class: ClassTLS,
			Seen: fmt.Sprintf("their certificates are of two CAs, both trusted here: %s (%s) for the registrar, %s (%s) for the verifier", issuer(a), registrar.ca, issuer(b), verifier.ca),
			Why:  "that is fine if each also trusts our client certificate"})
	default:
		f := Finding{Check: CheckSameCA, Level: Warning, Class: ClassTLS,
			Seen: fmt.Sprintf("their certificates are of two CAs: %s%s for the registrar, %s%s for the verifier", issuer(a), keyIDText(a.AuthorityKeyId), issuer(b), keyIDText(b.AuthorityKeyId)),
			Why:  "trusted_server_ca must name both, or one of them has kept certificates from before the CA was made anew",
			Fix:  "have both use one CA: tls_dir = default on the registrar uses the verifier's cv_ca"}
		h.add(f)
	}
	return h, true
}
