package runtime

import "github.com/keylime/keylime-tenant/policy"

// Accept adds to the policy what findings of an evaluation found and the policy
// did not allow: digests of files, keys and buffers. It returns how many it
// added. Findings of other checks are no matter of the policy and are passed
// over; so are those whose name was cut because of its length.
//
// Whoever calls this declares the machine's present state good.
func (p *Policy) Accept(findings []policy.Finding) int {
	n := 0
	for _, f := range findings {
		var m *DigestMap
		switch f.Check {
		case CheckNotInPolicy, CheckDigest:
			m = &p.Digests
		case CheckKeyNotIn, CheckKeyDigest:
			m = &p.Keyrings
		case CheckBufferNotIn, CheckBufferDigest:
			m = &p.IMABuf
		}
		if m == nil || len(f.Where) > maxName {
			continue
		}
		for _, digest := range f.Found {
			if isDigest(digest) && m.Add(f.Where, digest) {
				n++
			}
		}
	}
	return n
}
