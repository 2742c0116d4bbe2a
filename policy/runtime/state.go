package runtime

import (
	"slices"

	"github.com/keylime/keylime-tenant/policy/runtime/ima"
)

// State is what a verifier keeps of one agent between quotes (PROTOCOL.md
// 11.4), so that each entry of a list is transferred and judged once. The zero
// value is the start. It is not safe for concurrent use.
type State struct {
	// NextEntry is the ima_ml_entry to ask the agent for next. The list in the
	// answer must begin with that line; if the answer says that it begins with
	// line 0, call Reset first.
	NextEntry int

	bank     string   // of running
	running  []byte   // PCR 10 after the lines before NextEntry; nil: zeros
	learned  keyrings // keys that the machine loaded and the policy allows
	progress *progress
}

// Reset forgets everything: the next list must begin with the first entry, and
// keys are learned again.
func (st *State) Reset() { *st = State{} }

// Resume is the state for a list whose first lines are missing: next is their
// number, and pcr10 the value that PCR 10 of the bank had after them; nil if it
// is unknown, so that the list can be judged only without a quote. Keys that the
// machine has loaded in those lines are not known.
func Resume(next int, bank string, pcr10 []byte) *State {
	return &State{NextEntry: next, bank: bank, running: slices.Clone(pcr10)}
}

// progress is how far the last quote was behind its list.
type progress struct {
	match int // line after which PCR 10 had the quoted value
	lines int // lines that were not empty
}

// advances applies upstream's lag rule: a quote that was behind its list must
// have caught up with what was there then, or with the present list.
func (p *progress) advances(last *progress) bool {
	if last == nil || p.match == p.lines {
		return true
	}
	lag := last.lines - last.match
	return lag <= 0 || p.match >= lag
}

// keyrings are the keyrings of a machine by name, in order of first use.
type keyrings struct {
	names []string
	rings map[string]*ima.Keyring
}

// with returns keyrings that hold another key; k itself stays as it is.
func (k keyrings) with(name string, key any, id uint32) (keyrings, error) {
	c := keyrings{names: slices.Clone(k.names), rings: make(map[string]*ima.Keyring, len(k.rings)+1)}
	for n, ring := range k.rings {
		c.rings[n] = ring
	}
	if ring := c.rings[name]; ring != nil {
		c.rings[name] = ring.Clone()
	} else {
		c.names = append(c.names, name)
		c.rings[name] = &ima.Keyring{}
	}
	return c, c.rings[name].AddKey(key, id)
}

// list returns the keyrings in order.
func (k keyrings) list() []*ima.Keyring {
	var rings []*ima.Keyring
	for _, name := range k.names {
		rings = append(rings, k.rings[name])
	}
	return rings
}
