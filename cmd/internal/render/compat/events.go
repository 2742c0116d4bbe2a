package compat

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/keylime/keylime-tenant/client"
	"github.com/keylime/keylime-tenant/cmd/internal/pyjson"
	"github.com/keylime/keylime-tenant/tenant"
)

// enrolEvent writes the records of add and update.
func (r *Renderer) enrolEvent(e tenant.Event) bool {
	switch e := e.(type) {
	case tenant.ServerVersion:
		r.serverVersion(e)
	case tenant.RegistrarRecord:
		r.id = e.ID
	case tenant.AgentVersion:
		r.agentVersion(e)
	case tenant.PlainAgent:
		r.plainAgent(e)
	case tenant.QuoteRetry:
		r.id = e.ID
		r.tenant.Info(fmt.Sprintf("Tenant connection to %s refused %d/%d times, trying again in %s seconds...", r.agent(), e.Try, e.Max, seconds(e.Delay)))
	case tenant.QuoteReceived:
		r.print(pyjson.Repr(e.Reply.Body))
	case tenant.QuoteVerified:
		r.quoteVerified(e)
	case tenant.EKScriptStarted:
		r.tenant.Info(fmt.Sprintf("Checking EK for %s with script %s", r.agent(), e.Path))
	case tenant.EKScriptOutput:
		// When the script refuses, its output is in the record that says so.
		r.hold(func() { r.certs.Info("ek_check output: " + string(e.Output)) }, nil, true)
	case tenant.EKUnchecked:
		r.id = e.ID
		r.tenant.Warning(fmt.Sprintf("DANGER: EK cert checking is disabled and no additional checks on EKs have been specified with ek_check_script option for %s. Keylime is not secure!!", r.agent()))
	case tenant.EKSkipped:
		r.certs.Warning(calm(fmt.Sprintf("Ignoring certificate file %s: %v", e.Path, e.Err)))
	case tenant.IdentityProven:
		r.tenant.Info(fmt.Sprintf("Quote from %s validated", r.agent()))
	case tenant.AddRetry:
		r.tenant.Info(fmt.Sprintf("%s still not added to %s at try %d/%d, trying again in %s seconds...", r.agent(), r.verifier(), e.Try, e.Max, whole(e.Delay)))
	case tenant.Added:
		r.id = e.ID
		r.tenant.Info(fmt.Sprintf("%s added to %s after %d tries", r.agent(), r.verifier(), e.Tries))
	case tenant.KeyRetry:
		r.tenant.Info(fmt.Sprintf("Key derivation not yet complete for %s at try %d/%d (expected length %d, received length %d) trying again in %s seconds... (Ctrl-C to stop)",
			r.agent(), e.Try, e.Max, hmacLength, e.Received, whole(e.Delay)))
	case tenant.KeyVerified:
		r.tenant.Info("Successful key derivation for " + r.agent())
	case tenant.Stopped:
		r.id = e.ID
		r.tenant.Info(r.agent() + " stopped")
	case tenant.Waiting:
		r.tenant.Info(fmt.Sprintf("Waiting until %s is attested by %s", r.agent(), r.verifier()))
	case tenant.Attested:
		r.tenant.Info(fmt.Sprintf("%s attested by %s", r.agent(), r.verifier()))
	case tenant.Undoing:
		r.tenant.Info("Taking back what has been done for " + r.agent())
	case tenant.Undone:
		r.tenant.Info("Taken back: " + e.What)
	default:
		return false
	}
	return true
}

// hmacLength is the length of a proof of the key in hex: HMAC-SHA384.
const hmacLength = 96

// serverVersion tells the version spoken with registrar or verifier. A server
// in push mode does not tell its versions, which is no reason for a warning.
func (r *Renderer) serverVersion(e tenant.ServerVersion) {
	n := e.Negotiation
	if n.Fallback && !n.Gone && n.Err != nil {
		var failed *client.Error
		if errors.As(n.Err, &failed) && failed.HTTP != 0 && failed.Kind != client.Unreadable {
			r.tenant.Warning(fmt.Sprintf("Failed to get versions from %s: %d", e.Server, failed.HTTP))
		} else {
			r.tenant.Warning(fmt.Sprintf("Error fetching versions from %s: %s", e.Server, transport(n.Err)))
		}
	}
	r.tenant.Info(fmt.Sprintf("Using API version %s for %s communication", n.Version, e.Server))
}

// agentVersion tells the version spoken with an agent.
func (r *Renderer) agentVersion(e tenant.AgentVersion) {
	r.id = e.ID
	n := e.Negotiation
	switch {
	case n != nil && !n.Fallback:
		r.tenant.Info(fmt.Sprintf("Negotiated API version %s with agent %s (agent: %s, tenant: %s)", n.Version, e.ID, pyVersions(nil, n.Theirs), withPlain(n.Ours)))
	case n != nil || e.Push && e.Version == client.Current().String():
		push := "False"
		if e.Push {
			push = "True"
		}
		r.tenant.Warning(fmt.Sprintf("Could not detect supported API version. Defaulting to %s (push_model=%s, agent_ip=%s, agent_port=%s)",
			e.Version, push, orNone(e.Host), portText(e.Port)))
	}
	r.tenant.Info(fmt.Sprintf("Using API version %s for agent communication", e.Version))
	r.agentAt(e.ID, e.Host, e.Port)
}

func (r *Renderer) plainAgent(e tenant.PlainAgent) {
	r.id = e.ID
	switch {
	case e.Connecting:
		r.tenant.Warning(fmt.Sprintf("Connecting to %s without using mTLS!", r.agent()))
	case e.Disabled:
		r.tenant.Warning(fmt.Sprintf("Warning: mTLS for %s is disabled: the identity of each node will be based on the properties of the TPM only. "+
			"Unless you have strict control of your network, it is strongly advised that remote code execution should be disabled, "+
			`by setting "payload_script=" and "extract_payload_zip=False" under "[agent]" in agent configuration file.`, r.agent()))
	}
}

// quoteVerified writes what the quote checker of Keylime says of an identity
// quote that is good: it has no policy to hold it against.
func (r *Renderer) quoteVerified(e tenant.QuoteVerified) {
	var pcrs []string
	for _, n := range e.Quote.PCRs() {
		pcrs = append(pcrs, fmt.Sprint(n))
	}
	r.tpm.Info(fmt.Sprintf("PCR(s) %s from bank '%s' found in TPM quote for agent '%s'", strings.Join(pcrs, ", "), e.Quote.Bank(), e.ID))
	r.tpm.Info(fmt.Sprintf("No IMA verification policy configured for agent '%s'; skipping IMA verification", e.ID))
	r.tpm.Info(fmt.Sprintf("No measured boot policy configured for agent '%s'; skipping measured boot verification", e.ID))
	r.tpm.Info(fmt.Sprintf("No remaining PCRs in quote to check against TPM policy for agent '%s'", e.ID))
}

// policyEvent writes the records about policies, and warnings.
func (r *Renderer) policyEvent(e tenant.Event) {
	switch e := e.(type) {
	case tenant.PolicyMask:
		r.policies.Info(fmt.Sprintf("TPM PCR Mask from policy is %#x", e.FromPolicy))
		if e.MeasuredBoot {
			r.hold(func() {
				r.policies.Info(fmt.Sprintf("TPM PCR Mask automatically modified is %#x to include IMA/Event log PCRs", e.Final))
			}, aboutPolicies, false)
		}
	case tenant.PolicyAnswer:
		r.policyAnswer(e)
	case tenant.Downloading:
		r.download = e
		r.tenant.Info("Downloading " + downloaded(e.What) + " from " + e.URL)
	case tenant.SignatureVerified:
		if e.Key {
			r.tenant.Info("Signature verification on " + e.Name + " was successful")
			return
		}
		r.ima.Info("Runtime policy passed DSSE signature verification")
	case tenant.SignatureRefused:
		text := "Unable to verify signature: "
		if e.Envelope {
			text = "Unable to verify DSSE envelope: "
		}
		r.signing.Warning(text + e.Err.Error())
	case tenant.LegacyConverted:
		if e.Flat {
			r.print(filepath.Base(e.Name) + " is not JSON-formatted; attempting to convert to IMA policy from flat file format")
		}
	case tenant.Warning:
		r.warning(e)
	}
}

// aboutPolicies says which events the Python tenant tells while it reads
// policies, before it comes to the measured-boot policy.
func aboutPolicies(e tenant.Event) bool {
	switch e.(type) {
	case tenant.Warning, tenant.SignatureVerified, tenant.SignatureRefused, tenant.LegacyConverted:
		return true
	}
	return false
}

// policyAnswer prints the answer of a verb about stored policies.
func (r *Renderer) policyAnswer(e tenant.PolicyAnswer) {
	head := ""
	switch {
	case e.Verb == tenant.PolicyShow && e.Kind == tenant.RuntimeKind:
		head = "Show allowlist"
	case e.Verb == tenant.PolicyShow:
		head = "showmbpolicy"
	case e.Verb == tenant.PolicyList && e.Kind == tenant.RuntimeKind:
		head = "list"
	case e.Verb == tenant.PolicyList:
		head = "listmbpolicy"
	}
	if head != "" {
		r.print(fmt.Sprintf("%s command response: %d.", head, e.Reply.HTTP))
	}
	r.print(pyjson.Repr(e.Reply.Body))
}

// downloaded is what the Python tenant calls that which an option fetches.
func downloaded(option string) string {
	switch option {
	case "--runtime-policy-url":
		return "IMA policy"
	case "--allowlist-url":
		return "Allowlist"
	case "--signature-verification-key-url":
		return "key"
	case "--signature-verification-key-sig-url":
		return "key signature"
	}
	return option
}

// The ends of warnings about old forms of policies.
const oldForms = " is deprecated.Keylime has implemented support for a unified policy format, and will no longer accept separate allow/exclude lists in the near future." +
	"A conversion script to upgrade legacy allow/exclude lists to the new format is available under keylime/cmd/convert_runtime_policy.py."

// warning writes a WARNING record, in the words of the Python tenant where it
// has the warning too.
func (r *Renderer) warning(w tenant.Warning) {
	switch w.Kind {
	case tenant.WarnDefaultID:
		r.tenant.Warning("Using default UUID " + w.ID)
	case tenant.WarnDeprecated:
		switch w.Object {
		case "--allowlist", "--exclude":
			r.policies.Warning("WARNING: " + w.Object + oldForms)
		case "--signature-verification-key":
			r.policies.Warning("WARNING: Verification key support in the Keylime tenant is deprecated. Provide verification keys as part of a runtime policy instead.")
		default:
			r.tenant.Warning(w.Text)
		}
	case tenant.WarnPCROwner:
		r.policies.Warning(w.Text)
	case tenant.WarnRegCount:
		// Upstream tells this as an ERROR record, and only after a failed quote.
		r.id = w.ID
		r.tenant.Warning("WARNING: " + r.agent() + " had more than one ek-ekcert registered to it! This might indicate that your system is misconfigured or a malicious host is present. Run 'regdelete' for this agent and restart")
	default:
		text := w.Text
		if w.Hint != "" {
			text += "; " + w.Hint
		}
		r.tenant.Warning(calm(text))
	}
}
