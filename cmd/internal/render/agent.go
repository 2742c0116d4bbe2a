package render

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/keylime/keylime-tenant/client/registrar"
	"github.com/keylime/keylime-tenant/tenant"
	"github.com/keylime/keylime-tenant/tenant/ek"
)

func healthTone(h tenant.Health) Tone {
	switch h {
	case tenant.HealthHealthy:
		return Good
	case tenant.HealthFailed, tenant.HealthStale, tenant.HealthLate, tenant.HealthStopped:
		return Bad
	}
	return Doubtful
}

// age says how long ago a time of a server was, "never" for 0.
func (m *Modern) age(seconds int64) string {
	if seconds == 0 {
		return "never"
	}
	return Age(m.o.Now().Sub(time.Unix(seconds, 0)))
}

// verifierSection shows at a glance whether an agent is well, and why not.
func (m *Modern) verifierSection(a *tenant.VerifierAgent) Section {
	s := Section{Title: "Verifier: agent " + Safe(a.ID)}
	add := func(tone Tone, name, value string) {
		if value != "" {
			s.Fields = append(s.Fields, Field{name, value, tone})
		}
	}
	add(healthTone(a.Health), "HEALTH", m.healthText(a))
	if state := stateWord(a); !a.Push || state != pushState {
		add(Plain, "STATE", state)
	}
	add(Plain, "MODEL", m.pushText(a))
	add(Plain, "VERIFIER SAYS", verifierSays(a))
	if a.LastEventID != nil && *a.LastEventID != "" {
		tone := Bad
		if a.Health == tenant.HealthHealthy {
			tone = Plain // of an earlier failure: the verifier keeps it
		}
		add(tone, "LAST FAILURE", lastFailure(a))
	}
	if a.LastReceivedQuote != a.LastSuccessfulAttestation {
		add(Plain, "LAST QUOTE", m.age(a.LastReceivedQuote))
	}
	add(Plain, "LAST GOOD", m.age(a.LastSuccessfulAttestation))
	add(Plain, "POLICIES", policiesOf(a))
	add(Plain, "ALGORITHMS", algorithmsOf(a))
	add(Plain, "ADDRESS", endpoint(a.IP, a.Port))
	add(Plain, "VERIFIER", fmt.Sprintf("%s at %s", orDash(Safe(a.VerifierID)), Safe(address(a.VerifierIP, a.VerifierPort))))
	if meta := strings.TrimSpace(a.MetaData); meta != "" && meta != "{}" {
		add(Plain, "METADATA", Safe(meta))
	}
	if m.o.ShowSecrets && a.Record != nil && a.Record.V != nil {
		add(Doubtful, "V", Safe(string(*a.Record.V)))
	}
	return s
}

// healthText is our word and what it stands on. A bare PASS would not say
// whether any quote was accepted at all.
func (m *Modern) healthText(a *tenant.VerifierAgent) string {
	count := plural(a.AttestationCount, "quote") + " accepted"
	due := ""
	if a.AttestationPeriod != "" {
		due = ", one is due every " + Safe(a.AttestationPeriod)
	}
	text := string(a.Health) + ": "
	switch a.Health {
	case tenant.HealthHealthy:
		text += fmt.Sprintf("%s, the last %s", count, m.age(a.LastSuccessfulAttestation))
	case tenant.HealthStale, tenant.HealthLate:
		text += fmt.Sprintf("last good quote %s%s", m.age(a.LastSuccessfulAttestation), due)
	case tenant.HealthFailed:
		if a.LastEventID == nil || *a.LastEventID == "" { // otherwise the reason has a line of its own
			text += Safe(a.Reason) + "; "
		}
		text += count + " before"
	default:
		text += Safe(a.Reason)
	}
	return text
}

// pushText says what the push model means for an agent of it, "" for others.
func (m *Modern) pushText(a *tenant.VerifierAgent) string {
	if !a.Push {
		return ""
	}
	text := "push: it attests itself"
	if a.AttestationPeriod != "" {
		text += ", every " + Safe(a.AttestationPeriod)
	}
	limit, err := time.ParseDuration(a.MaxAttestationInterval)
	if err != nil || limit <= 0 {
		return text
	}
	text += fmt.Sprintf(", and is late after %v", limit)
	if left := time.Unix(a.LastReceivedQuote, 0).Add(limit).Sub(m.o.Now()).Round(time.Second); a.Health == tenant.HealthHealthy && left >= 0 {
		text += fmt.Sprintf(" (in %v)", left)
	}
	return text
}

func verifierSays(a *tenant.VerifierAgent) string {
	if a.AttestationStatus == "" {
		return ""
	}
	if a.AttestationStatus == "PASS" && a.AttestationCount == 0 {
		return "PASS (of no quote at all)"
	}
	return Safe(a.AttestationStatus)
}

func lastFailure(a *tenant.VerifierAgent) string {
	text := Safe(*a.LastEventID)
	if a.LastEvent != "" && a.LastEvent != strconv.Quote(*a.LastEventID) {
		text = a.LastEvent + "\n" + text
	}
	if a.SeverityLevel != nil {
		text += fmt.Sprintf(" (severity %d)", *a.SeverityLevel)
	}
	return text
}

// policiesOf says what the agent is held against.
func policiesOf(a *tenant.VerifierAgent) string {
	var parts []string
	if a.HasRuntimePolicy != 0 {
		parts = append(parts, "runtime policy")
	}
	if a.HasMBRefstate != 0 {
		parts = append(parts, "measured-boot policy")
	}
	if pcrs := policyPCRs(a.TPMPolicy); len(pcrs) > 0 {
		parts = append(parts, "PCR "+words(pcrs))
	}
	switch {
	case len(parts) == 0 && a.Push && a.AttestationCount == 0:
		return "none: Keylime 7.14.3 asks such an agent for nothing in the push model, and never attests it"
	case len(parts) == 0:
		return "none: only the quote itself is checked"
	}
	return words(parts)
}

// policyPCRs are the registers a tpm_policy names, in ascending order.
func policyPCRs(text string) []string {
	var policy map[string]json.RawMessage
	if json.Unmarshal([]byte(text), &policy) != nil {
		return nil
	}
	var numbers []int
	for key := range policy {
		if n, err := strconv.Atoi(key); err == nil {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	names := make([]string, len(numbers))
	for i, n := range numbers {
		names[i] = strconv.Itoa(n)
	}
	return names
}

func algorithmsOf(a *tenant.VerifierAgent) string {
	if a.HashAlg == "" {
		return fmt.Sprintf("none used yet; accepted: %s; %s; %s", Safe(words(a.AcceptHash)), Safe(words(a.AcceptEnc)), Safe(words(a.AcceptSign)))
	}
	return Safe(words([]string{a.HashAlg, a.EncAlg, a.SignAlg}))
}

// registrarSection shows what the registrar knows. v is what the verifier says
// of the agent, nil if it was not asked or does not know it.
func (m *Modern) registrarSection(a *tenant.RegistrarAgent, v *tenant.VerifierAgent) Section {
	s := Section{Title: "Registrar: agent " + Safe(a.ID)}
	add := func(tone Tone, name, value string) { s.Fields = append(s.Fields, Field{name, value, tone}) }
	add(Plain, "STATE", a.State+": it has proven to hold its TPM")
	add(Plain, "ADDRESS", endpoint(a.IP, a.Port))
	switch {
	case a.RegCount > 1:
		// It counts every start of an agent, also with the same EK (PROTOCOL.md 3).
		add(Doubtful, "REGISTRATIONS", fmt.Sprintf("%d: an agent registers anew when it starts, and so would another machine under its id", a.RegCount))
	default:
		add(Plain, "REGISTRATIONS", strconv.Itoa(a.RegCount))
	}
	add(Plain, "EK CERTIFICATE", m.certificateText(a.EKCert))
	add(Plain, "EK HASH", ekHash(a.EKTPM))
	add(Plain, "AK HASH", fingerprint(a.AKTPM))
	tone, text := tlsText(a.MTLSCert, v)
	add(tone, "TLS", text)
	return s
}

// ekHash tells EKs apart, in the way agents do that have uuid = hash_ek.
func ekHash(b64 string) string {
	raw, err := base64.StdEncoding.DecodeString(b64)
	if err != nil {
		return "not readable"
	}
	public, err := ek.ParsePublic(raw)
	if err != nil {
		return "not readable: " + Safe(err.Error())
	}
	return public.Hash()
}

// fingerprint tells keys apart: the SHA-256 of the TPM's structure.
func fingerprint(b64 string) string {
	raw, err := base64.StdEncoding.DecodeString(b64)
	if err != nil || len(raw) == 0 {
		return "not readable"
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])
}

func (m *Modern) certificateText(b64 *string) string {
	if b64 == nil || *b64 == "" {
		return "none"
	}
	der, err := base64.StdEncoding.DecodeString(*b64)
	if err != nil {
		return "not a certificate: " + Safe(*b64)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return fmt.Sprintf("%d bytes that are not strict DER; add checks it all the same", len(der))
	}
	text := "issued by " + Safe(cert.Issuer.String())
	if now := m.o.Now(); now.After(cert.NotAfter) {
		text += ", expired " + cert.NotAfter.Format(time.DateOnly)
	}
	return text
}

// tlsText tells how an agent can be spoken to. Agents of the push model, which
// nobody speaks to, register as those do whose owner has switched TLS off.
func tlsText(cert *string, v *tenant.VerifierAgent) (Tone, string) {
	switch {
	case cert == nil || *cert == "":
		return Plain, "no certificate (normal for an agent of the push model)"
	case *cert != registrar.Disabled:
		return Plain, "certificate registered"
	case v == nil:
		return Doubtful, "none: it uses the push model, or its owner has switched TLS off"
	case v.Push:
		return Plain, "none: an agent of the push model is not spoken to"
	}
	return Bad, "switched off by the agent's owner"
}
