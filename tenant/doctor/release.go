package doctor

import (
	"fmt"

	"github.com/keylime/keylime-tenant/client"
)

// release looks which flaws a server has as far as its versions of the API
// tell: no server of Keylime tells its release.
//
// Newest version of the API by release, from Keylime's tags: 2.1 up to 7.10,
// 2.2 in 7.11, 2.3 in 7.12, 2.4 in 7.13, 2.5 in 7.14.0 to 7.14.2, 2.6 from
// 7.14.3. Flaws from USERS.md 8. Distributions repair flaws without a new
// version, so that a finding can only be a warning.
func (x *examiner) release(s *seen, n client.Negotiation) {
	h := &s.hop
	theirs := n.Theirs
	if n.Fallback && !n.Gone && n.Version != client.Current() {
		theirs = []client.Version{n.Version} // found by trying
	}
	if len(theirs) == 0 {
		h.skip(CheckRelease, ClassOther, "it tells no versions from which its release could be concluded%s", pushFlaw(n))
		return
	}
	newest := 0
	for _, v := range theirs {
		if v.Major == 2 {
			newest = max(newest, v.Minor)
		}
	}
	// 2.6 and later have no flaw that is known here.
	releases := [...]string{"before 6.4", "6.4 to 7.10", "7.11", "7.12", "7.13", "7.14.0 to 7.14.2"}
	if newest >= len(releases) {
		h.ok(CheckRelease, ClassOther, "its newest version of the API is 2.%d, as of Keylime 7.14.3 or later: no flaw is known here", newest)
		return
	}
	f := Finding{Check: CheckRelease, Level: Warning, Class: ClassOther,
		Seen: fmt.Sprintf("its newest version of the API is 2.%d, as of Keylime %s", newest, releases[newest]),
		Fix:  "update it to Keylime 7.14.3 or later, unless your distribution has repaired these flaws"}
	switch {
	case newest == 5 && s.role.name == client.VerifierName:
		f.Level, f.Why = Note, "7.14.0 and 7.14.1 have CVE-2026-6420 in the push model: quotes of yesterday pass as fresh; which of the releases it is cannot be seen"
	case newest == 5:
		h.ok(CheckRelease, ClassOther, "its newest version of the API is 2.5, as of Keylime 7.14.0 to 7.14.2: no flaw of a %s is known here", s.role.name)
		return
	case s.role.name == client.RegistrarName:
		f.Why = "before 7.14.0 another TPM can take over the id of an agent by registering under it (CVE-2025-13609)"
	case newest == 1:
		f.Level, f.Why = Note, "before 6.5.1 a verifier can be made to stop attesting an agent without a word (CVE-2022-3500); which of the releases it is cannot be seen"
	case newest == 0:
		f.Why = "a verifier of that age can be made to stop attesting an agent without a word (CVE-2022-3500), and tenant and verifier can be shown two different AKs (CVE-2022-1053)"
	default:
		h.ok(CheckRelease, ClassOther, "its newest version of the API is 2.%d, as of Keylime %s: no flaw of a %s is known here", newest, releases[newest], s.role.name)
		return
	}
	h.add(f)
}

// pushFlaw is what to know about a verifier that hides its versions.
func pushFlaw(n client.Negotiation) string {
	if n.Gone {
		return "; verifiers of the push model before Keylime 7.14.2 have CVE-2026-6420"
	}
	return ""
}
