package doctor

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/keylime/keylime-tenant/client"
	"github.com/keylime/keylime-tenant/client/registrar"
	"github.com/keylime/keylime-tenant/client/verifier"
	"github.com/keylime/keylime-tenant/tenant/ek"
)

// agent looks at an agent: first at what registrar and verifier say of it.
func (x *examiner) agent(ctx context.Context) *seen {
	s := &seen{hop: Hop{Name: client.AgentName, Address: safe(x.AgentID)}, role: agentRole()}
	record := x.record(ctx, s)
	x.enrolled(ctx, s, record != nil)
	if record == nil {
		s.unseen("the registrar's record of the agent is not known", CheckAgentEK, CheckAgentAddress, CheckTCP, CheckAgentPin, CheckClientAccepted)
		return s
	}
	x.agentEK(&s.hop, record)
	if !x.address(s, record) {
		s.unseen("the agent cannot be contacted", CheckTCP, CheckAgentPin, CheckClientAccepted)
		return s
	}
	s.hop.Address = safe(x.AgentID) + " at " + safe(net.JoinHostPort(s.at.Host, strconv.Itoa(s.at.Port)))
	x.contact(ctx, s, record)
	return s
}

// record reads the registrar's record of the agent; nil if there is none.
func (x *examiner) record(ctx context.Context, s *seen) *registrar.Agent {
	h := &s.hop
	at := &seen{role: registrarRole(), at: x.Registrar}
	c := x.talker(at, x.material.ours, "")
	if c == nil {
		h.skip(CheckRegistered, ClassOther, "the registrar cannot be asked without our certificate and key, see above")
		return nil
	}
	defer c.Close()
	// The registrar's hop tells what is wrong with its versions.
	_, _ = c.Negotiate(ctx)
	record, _, err := registrar.New(c).Agent(ctx, x.AgentID)
	switch {
	case client.KindOf(err) == client.NotFound:
		h.add(Finding{Check: CheckRegistered, Level: Problem, Class: ClassOther, Seen: "the registrar does not know the agent " + safe(x.AgentID),
			Why: "an agent registers when it starts, and cannot be added before",
			Fix: "start the agent (systemctl restart keylime_agent) and look at its log; is registrar_ip in its agent.conf right, and the id?", Command: "keylime_tenant reglist"})
		return nil
	case err != nil:
		h.skip(CheckRegistered, ClassOther, "the registrar could not be asked: %s", safe(err.Error()))
		return nil
	}
	h.ok(CheckRegistered, ClassOther, "the registrar knows it")
	if record.RegCount > 1 {
		h.add(Finding{Check: CheckRegCount, Level: Warning, Class: ClassOther, Seen: fmt.Sprintf("it has been registered %d times", record.RegCount),
			Why: "it was restarted with new keys, or another TPM uses its id (CVE-2025-13609 made that possible before Keylime 7.14.0)",
			Fix: "compare the EK with that of the machine, and pin it", Command: "keylime_tenant ek show " + word(x.AgentID)})
	} else {
		h.ok(CheckRegCount, ClassOther, "it has been registered once")
	}
	return record
}

// enrolled looks whether the verifier attests the agent.
func (x *examiner) enrolled(ctx context.Context, s *seen, registered bool) {
	h := &s.hop
	at := &seen{role: verifierRole(), at: x.Verifier}
	c := x.talker(at, x.material.ours, "")
	if c == nil {
		h.skip(CheckEnrolled, ClassOther, "the verifier cannot be asked without our certificate and key, see above")
		return
	}
	defer c.Close()
	_, _ = c.Negotiate(ctx)
	record, _, err := verifier.New(c).Agent(ctx, x.AgentID)
	switch {
	case client.KindOf(err) == client.NotFound && !registered:
		h.add(Finding{Check: CheckEnrolled, Level: Note, Class: ClassOther, Seen: "the verifier does not know it either", Why: "nobody watches it"})
	case client.KindOf(err) == client.NotFound:
		h.add(Finding{Check: CheckEnrolled, Level: Note, Class: ClassOther, Seen: "the verifier does not attest it", Why: "nobody watches it yet",
			Fix: "place it under attestation", Command: "keylime_tenant add " + word(x.AgentID)})
	case err != nil:
		h.skip(CheckEnrolled, ClassOther, "the verifier could not be asked: %s", safe(err.Error()))
	case !registered:
		h.add(Finding{Check: CheckEnrolled, Level: Note, Class: ClassOther, Seen: fmt.Sprintf("the verifier has it, in state %q, though the registrar could not tell of it", record.State.String()),
			Why: "an agent that was deleted from the registrar stays under attestation until it is deleted from the verifier too"})
	default:
		h.ok(CheckEnrolled, ClassOther, "the verifier has it, in state %q", record.State.String())
	}
}

// agentEK looks whether the agent's EK is vouched for, as adding it would.
func (x *examiner) agentEK(h *Hop, record *registrar.Agent) {
	tpm, err := base64.StdEncoding.DecodeString(record.EKTPM)
	if err != nil {
		h.add(Finding{Check: CheckAgentEK, Level: Problem, Class: ClassOther, Seen: "the registrar's ek_tpm is not base64", Why: "the agent cannot be added", Fix: "restart the agent so that it registers anew"})
		return
	}
	var by, refusals []string
	if x.EK.wantsChain() {
		if err := x.chainOf(record, tpm); err != nil {
			refusals = append(refusals, err.Error())
		} else {
			by = append(by, "its certificate")
		}
	}
	if x.EK.wantsPin() {
		pins, err := ek.LoadPins(x.EK.PinFile)
		if err == nil {
			_, err = pins.Verify(tpm, record.ID)
		}
		if err != nil {
			refusals = append(refusals, err.Error())
		} else {
			by = append(by, "a pin")
		}
	}
	switch {
	case len(by) == 0 && len(refusals) == 0:
		h.skip(CheckAgentEK, ClassOther, "neither certificate nor pin is asked for")
	case len(refusals) == 0 || x.EK.Require == "either" && len(by) > 0:
		h.ok(CheckAgentEK, ClassOther, "its TPM is vouched for by %s", strings.Join(by, " and "))
	default:
		h.add(Finding{Check: CheckAgentEK, Level: Problem, Class: ClassOther, Seen: strings.Join(refusals, "; "), Why: "the agent is not added, and gets no payload",
			Fix: "keylime_tenant ek trust add FILE trusts a maker of TPMs, keylime_tenant ek pin add ID a single one", Command: "keylime_tenant ek verify " + word(x.AgentID)})
	}
}

func (x *examiner) chainOf(record *registrar.Agent, tpm []byte) error {
	store, err := ek.LoadStore(x.EK.StoreDir)
	if err != nil {
		return err
	}
	var der []byte
	if record.EKCert != nil {
		if der, err = base64.StdEncoding.DecodeString(*record.EKCert); err != nil {
			return fmt.Errorf("its EK certificate %s is not base64", safe(*record.EKCert))
		}
	}
	_, err = store.Verify(der, tpm, ek.Options{Now: x.Now(), Compat: x.EK.Compat})
	return err
}

// address settles where the agent is.
func (x *examiner) address(s *seen, record *registrar.Agent) bool {
	h := &s.hop
	if record.IP == nil || *record.IP == "" || record.Port == nil || *record.Port == 0 {
		h.add(Finding{Check: CheckAgentAddress, Level: Note, Class: ClassOther, Seen: "it registered without an address, as agents of the push model do",
			Why: "it attests of its own accord and is not contacted", Fix: "add it with --push-model; an agent of the pull model must set contact_ip and contact_port"})
		return false
	}
	s.at = Server{Host: strings.Trim(*record.IP, "[]"), Port: *record.Port}
	ip, ours := net.ParseIP(s.at.Host), net.ParseIP(strings.Trim(x.Registrar.Host, "[]"))
	if ip != nil && (ip.IsLoopback() || ip.IsUnspecified()) && x.Registrar.Host != "localhost" && (ours == nil || !ours.IsLoopback()) {
		h.add(Finding{Check: CheckAgentAddress, Level: Warning, Class: ClassOther, Seen: fmt.Sprintf("it registered the address %s, which means another machine to everybody else", s.at.Host),
			Why: "neither the verifier nor this machine finds it there", Fix: "set contact_ip in its agent.conf, and restart it; or give its address with --targethost and --cv-targethost"})
		return true
	}
	h.ok(CheckAgentAddress, ClassOther, "it registered the address %s", safe(net.JoinHostPort(s.at.Host, strconv.Itoa(s.at.Port))))
	return true
}

// contact speaks to the agent.
func (x *examiner) contact(ctx context.Context, s *seen, record *registrar.Agent) {
	h := &s.hop
	later := []Check{CheckAgentPin, CheckClientAsked, CheckClientRequired, CheckClientAccepted, CheckVersions, CheckClock}
	addr := x.reach(ctx, s)
	if addr == "" {
		h.Findings[len(h.Findings)-1].Why += "; the verifier may reach it on another way (--cv-targethost), which cannot be seen from here"
		s.unseen("there is no connection", append([]Check{CheckAgentTLS}, later...)...)
		return
	}
	registered := record.MTLSCert
	if registered == nil || *registered == "" || *registered == registrar.Disabled {
		x.plainAgent(h, registered != nil && *registered == registrar.Disabled)
		s.unseen("the agent does not speak TLS", later...)
		return
	}
	h.ok(CheckAgentTLS, ClassTLS, "it has registered a TLS certificate")
	if !x.secure(ctx, s, addr) {
		s.unseen("there is no TLS", later...)
		return
	}
	x.pinned(s, *registered)
	x.asked(s)
	x.agentRequires(ctx, s)
	x.agentAccepts(ctx, s, *registered)
}

func (x *examiner) plainAgent(h *Hop, disabled bool) {
	f := Finding{Check: CheckAgentTLS, Level: Problem, Class: ClassTLS, Seen: "it has registered no TLS certificate", Why: "it would be spoken to in the clear, which enable_agent_mtls = True refuses",
		Fix: "set enable_agent_mtls = true in its agent.conf, and restart it"}
	if disabled {
		f.Seen = "its owner has switched TLS off (enable_agent_mtls = false in its agent.conf)"
	}
	if !x.EnableAgentTLS {
		f.Level, f.Why = Warning, "it is spoken to in the clear: whoever is in between can read the payload's key share"
	}
	h.add(f)
}

// pinned looks whether the agent presents the certificate that it registered.
func (x *examiner) pinned(s *seen, registered string) {
	h, leaf := &s.hop, s.tls.leaf()
	restart := "restart the agent, so that it registers the certificate that it uses; if that does not help, something else answers at its address"
	block, _ := pem.Decode([]byte(registered))
	var want *x509.Certificate
	if block != nil {
		want, _ = x509.ParseCertificate(block.Bytes) // nil is told below
	}
	switch {
	case want == nil:
		h.add(Finding{Check: CheckAgentPin, Level: Problem, Class: ClassTLS, Seen: "the certificate in the registrar's record cannot be read", Why: "the agent cannot be told from an impostor", Fix: restart})
	case !bytes.Equal(want.Raw, leaf.Raw):
		h.add(Finding{Check: CheckAgentPin, Level: Problem, Class: ClassTLS, Seen: fmt.Sprintf("it shows the certificate %s (%s), but registered %s (%s)", subject(leaf), fingerprint(leaf), subject(want), fingerprint(want)),
			Why: "calls demand the registered one, byte for byte", Fix: restart})
	default:
		h.ok(CheckAgentPin, ClassTLS, "it shows the certificate that it registered (%s)", fingerprint(leaf))
	}
	x.dates(h, CheckServerDates, leaf, "its certificate", "it is refused here", "on the agent remove server-cert.crt and server-private.pem from its directory, and restart it")
}

// agentRequires looks whether the agent answers somebody without a certificate.
func (x *examiner) agentRequires(ctx context.Context, s *seen) {
	h := &s.hop
	c := x.talker(s, x.material.anonymous, "")
	defer c.Close()
	_, err := ask(ctx, c)
	switch kind := client.KindOf(err); kind {
	case client.ClientRefused:
		h.ok(CheckClientRequired, ClassTLS, "without a client certificate it ends the connection")
	case client.Unreachable, client.TimedOut, client.ServerUntrusted, client.Canceled:
		h.skip(CheckClientRequired, ClassTLS, "a call without a client certificate told nothing: %s", safe(err.Error()))
	default:
		h.add(Finding{Check: CheckClientRequired, Level: Problem, Class: ClassTLS, Seen: "it answers a call without a client certificate",
			Why: "whoever reaches it can ask it for quotes, and send it payloads", Fix: "set enable_agent_mtls = true and trusted_client_ca in its agent.conf; is something in front of it that ends TLS?"})
	}
}

// agentAccepts looks whether the agent takes our certificate, and what it says
// to it.
func (x *examiner) agentAccepts(ctx context.Context, s *seen, registered string) {
	h := &s.hop
	if x.material.ours == nil {
		s.unseen("our certificate and key cannot be used, see above", CheckClientAccepted, CheckVersions, CheckClock)
		return
	}
	c := x.talker(s, x.material.ours, registered)
	if c == nil || !bytes.Equal(pemBytes(registered), s.tls.leaf().Raw) {
		if c != nil {
			c.Close()
		}
		// Another certificate than the registered: nothing more is said to it.
		s.unseen("it does not show the certificate that it registered", CheckClientAccepted, CheckVersions, CheckClock)
		return
	}
	defer c.Close()
	_, ok, refused := x.versions(ctx, s, c)
	if ok {
		h.ok(CheckClientAccepted, ClassTLS, "it takes our certificate")
		return
	}
	if !refused {
		h.skip(CheckClientAccepted, ClassTLS, "it does not answer as an agent does")
		return
	}
	_, err := ask(ctx, c)
	if client.KindOf(err) != client.ClientRefused {
		s.unseen(safe(err.Error()), CheckClientAccepted, CheckVersions, CheckClock)
		return
	}
	f := x.refused(s, err)
	f.Why = "it gives no quote, so that it cannot be added"
	f.Fix = fmt.Sprintf("trusted_client_ca in its agent.conf must name the CA %s, and the agent must be able to read that file (on the agent: ls -l /var/lib/keylime/cv_ca/cacert.crt)",
		issuer(x.material.ours.Certificate()))
	h.add(f)
	s.unseen("it refuses our certificate", CheckVersions, CheckClock)
}

func pemBytes(text string) []byte {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil
	}
	return block.Bytes
}
