package tenant

import (
	"fmt"
	"slices"

	"github.com/keylime/keylime-tenant/client"
	"github.com/keylime/keylime-tenant/client/verifier"
	"github.com/keylime/keylime-tenant/payload"
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

// keyForOld makes a key for an agent that gets no payload, if the verifier is
// one [verifier.Before23]: that gives V to every agent, and without one fails at
// the first good quote. The agent then has a key that opens nothing.
func (e *enrolment) keyForOld() error {
	n, p := e.t.verifierVersion, &e.plan.payload
	if e.plan.Push || p.keys != nil || n.Fallback || !verifier.Before23(n.Version) {
		return nil
	}
	keys, err := payload.NewKeys(e.t.rand())
	if err != nil {
		return fmt.Errorf("making a key for the agent: %w", err)
	}
	p.keys, p.authTag = &keys, payload.AuthTag(keys.K, e.plan.ID)
	return nil
}
