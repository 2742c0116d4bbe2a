package tenant

import (
	"slices"

	"github.com/keylime/keylime-tenant/client"
)

// polledVersion is the version in which the verifier is told to ask the agent:
// the one settled with the agent, unless the verifier is older than that. Such a
// verifier asks in whatever version it is told, and takes the answer for a bad
// quote: from 2.5 on an agent names its algorithms "rsa2048", which a verifier
// of API 2.3 does not know. It is told the newest version then that it has in
// common with the agent. A version that the caller has fixed stays.
func (e *enrolment) polledVersion() client.Version {
	n := e.t.verifierVersion
	if e.plan.version != nil || n == nil || n.Fallback || slices.Contains(n.Theirs, e.version) {
		return e.version
	}
	for _, v := range slices.Backward(n.Theirs) { // oldest first
		spoken := len(e.agentVersions) == 0 || slices.Contains(e.agentVersions, v)
		if spoken && v.Major == e.version.Major && v.Compare(e.version) < 0 {
			return v
		}
	}
	return e.version
}
