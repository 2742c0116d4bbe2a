package render

import (
	"fmt"
	"strings"
	"time"

	"github.com/keylime/keylime-tenant/client"
	"github.com/keylime/keylime-tenant/tenant"
)

// warningOf is the warning in an event, "" if it is none.
func warningOf(e tenant.Event) (text, hint string) {
	switch e := e.(type) {
	case tenant.Warning:
		return e.Text, e.Hint
	case tenant.PlainAgent:
		if e.Connecting && e.Disabled {
			return "", "" // said already, when its record was read
		}
		text = fmt.Sprintf("agent %s is reached at %s without TLS: whoever is in between can read the payload's key share", e.ID, address(e.Host, e.Port))
		if e.Disabled {
			return text, "its owner has switched TLS off: enable_agent_mtls in the agent's configuration"
		}
		return text, "enable_agent_mtls = False in tenant.conf allows it"
	case tenant.EKUnchecked:
		return fmt.Sprintf("nobody vouches for the TPM of agent %s: require_ek_cert is off and there is no ek_check_script", e.ID), ""
	case tenant.EKSkipped:
		return fmt.Sprintf("certificate store: %s is not used: %v", e.Path, e.Err), ""
	case tenant.ServerVersion:
		if n := e.Negotiation; n.Fallback && !n.Gone && answered(n.Err) {
			return fmt.Sprintf("the %s does not tell its API versions (%v): speaking %s", e.Server, n.Err, n.Version), ""
		}
	}
	return "", ""
}

// answered says that a failure is an answer. A server that cannot be reached
// or trusted fails the call itself, which needs no warning before it.
func answered(err error) bool {
	switch client.KindOf(err) {
	case client.Refused, client.Unreadable, client.NotFound, client.Conflict, client.Unknown:
		return err != nil
	}
	return false
}

// detailOf says in one line what only matters to those who want every step.
func detailOf(e tenant.Event) string {
	switch e := e.(type) {
	case tenant.ServerVersion:
		return fmt.Sprintf("%s: API version %s%s", e.Server, e.Negotiation.Version, theirs(e.Negotiation))
	case tenant.AgentVersion:
		if e.Push {
			return fmt.Sprintf("agent %s attests of its own accord and is not contacted", e.ID)
		}
		return fmt.Sprintf("agent %s at %s: API version %s", e.ID, address(e.Host, e.Port), e.Version)
	case tenant.RegistrarRecord:
		return fmt.Sprintf("the registrar knows agent %s", e.ID)
	}
	return ""
}

// stepOf says in one line what has happened, "" for what needs no line.
func stepOf(e tenant.Event) string {
	switch e := e.(type) {
	case tenant.QuoteRetry:
		return fmt.Sprintf("agent %s does not answer yet (%d/%d), next try in %s", e.ID, e.Try, e.Max, Duration(e.Delay))
	case tenant.QuoteVerified:
		return fmt.Sprintf("quote verified: signed by the registered AK (%s), fresh, bound to the transport key", e.Quote.AKAlgorithm())
	case tenant.EKScriptStarted:
		return fmt.Sprintf("asking %s about the EK", e.Path)
	case tenant.EKScriptOutput:
		if output := strings.TrimSpace(string(e.Output)); output != "" {
			return "script: " + safeLines(output)
		}
	case tenant.EKPinFound:
		return fmt.Sprintf("EK %s... is pinned in %s, line %d", e.Pin.Hash[:16], e.Path, e.Pin.Line)
	case tenant.EKVerified:
		return fmt.Sprintf("EK certificate verified: issued by %s", Safe(e.Issuer))
	case tenant.UDelivered:
		return fmt.Sprintf("agent %s has its share of the payload's key", e.ID)
	case tenant.Enrolled:
		return "the verifier has taken the agent"
	case tenant.AddRetry:
		return fmt.Sprintf("the verifier does not show the agent yet (%d/%d), next look in %s", e.Try, e.Max, Duration(e.Delay))
	case tenant.KeyRetry:
		return fmt.Sprintf("the agent has not derived the key yet (%d/%d), next look in %s", e.Try, e.Max, Duration(e.Delay))
	case tenant.KeyVerified:
		return "the agent has proven that it holds the key"
	case tenant.Stopped:
		return fmt.Sprintf("the verifier no longer attests agent %s", e.ID)
	case tenant.DeleteRetry:
		return fmt.Sprintf("the verifier is still deleting the agent (%d/%d), next look in %s", e.Try, e.Max, Duration(e.Delay))
	case tenant.Downloading:
		return "fetching " + e.URL
	case tenant.SignatureVerified:
		return "signature verified: " + e.Name
	case tenant.WaitingFor:
		return waitingText(e)
	case tenant.Waiting:
		return fmt.Sprintf("waiting for the first attestation: state %s", orDash(e.State))
	case tenant.Attested:
		return fmt.Sprintf("attested after %s", Duration(e.After.Round(100*time.Millisecond)))
	case tenant.Undoing:
		return fmt.Sprintf("taking back what was done for agent %s (Ctrl-C now leaves it half done)", e.ID)
	case tenant.Undone:
		return "undone: " + e.What
	}
	return ""
}

func theirs(n client.Negotiation) string {
	if len(n.Theirs) == 0 {
		return ""
	}
	first, last := n.Theirs[0], n.Theirs[len(n.Theirs)-1]
	if first == last {
		return fmt.Sprintf(" (it speaks %s)", first)
	}
	return fmt.Sprintf(" (it speaks %s to %s)", first, last)
}

// address joins host and port; IPv6 comes in brackets.
func address(host string, port int) string {
	if strings.Contains(host, ":") && !strings.HasPrefix(host, "[") {
		host = "[" + host + "]"
	}
	return fmt.Sprintf("%s:%d", host, port)
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
