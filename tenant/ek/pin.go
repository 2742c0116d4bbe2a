package ek

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"unicode"
)

// Pin is an endorsement key that the operator allows, whoever has made its
// TPM.
type Pin struct {
	// Hash is the SHA-256 of the key in hex: [Public.KeyHash], or
	// [Public.Hash], which agents with uuid = "hash_ek" have for an id.
	Hash string
	// AgentID is the agent it is allowed for; "" for any.
	AgentID string
	// Note is what the operator has written beside it.
	Note string
	// Line is its line in the list, from 1; 0 for a new one.
	Line int
}

// Pins is an allow-list of endorsement keys: a text file with a pin a line,
//
//	HASH [AGENT-ID] [# NOTE]
//
// Empty lines and lines that begin with # are kept and mean nothing.
type Pins struct {
	path  string
	lines []string
	list  []Pin
}

// pinHeader begins a new list.
const pinHeader = `# Endorsement keys (EKs) that keylime_tenant accepts where ek_require is pin, both or
# either. A line each: SHA-256 of the public key, the agent's id if it is for that
# agent alone, and a note after #. keylime_tenant ek pin keeps this file.`

// LoadPins reads a list. Errors: *[VerificationError] of [CheckPinList], also
// if there is no such file.
func LoadPins(path string) (*Pins, error) {
	text, err := readFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, pinListError(fmt.Errorf("the list of pinned EKs %s does not exist: %w", path, fs.ErrNotExist))
	}
	if err != nil {
		return nil, pinListError(fmt.Errorf("the list of pinned EKs %s: %w", path, cause(err)))
	}
	return ParsePins(path, text)
}

// ParsePins reads a list; path is what messages call it. A line that is not a
// pin makes the whole list unusable: it might be one that was meant to bind an
// id. Errors: *[VerificationError] of [CheckPinList], with the line.
func ParsePins(path string, text []byte) (*Pins, error) {
	p := &Pins{path: path}
	if len(text) == 0 {
		return p, nil
	}
	p.lines = strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	for i, line := range p.lines {
		words, note, _ := strings.Cut(line, "#")
		fields := strings.Fields(words)
		if len(fields) == 0 {
			continue
		}
		hash, err := ParseHash(fields[0])
		if err == nil && len(fields) > 2 {
			err = errors.New("more than a hash and an agent's id")
		}
		if err != nil {
			return nil, pinListError(fmt.Errorf("the list of pinned EKs %s, line %d: %w", path, i+1, err))
		}
		pin := Pin{Hash: hash, Note: strings.TrimSpace(note), Line: i + 1}
		if len(fields) == 2 {
			pin.AgentID = fields[1]
		}
		p.list = append(p.list, pin)
	}
	return p, nil
}

// ParseHash reads a SHA-256 in hex, with or without "sha256:" before it and
// colons between its octets, and returns it in small letters without them.
func ParseHash(text string) (string, error) {
	digits := strings.ToLower(strings.TrimPrefix(text, "sha256:"))
	digits = strings.ReplaceAll(digits, ":", "")
	if len(digits) != 64 || strings.Trim(digits, "0123456789abcdef") != "" {
		return "", fmt.Errorf("%s is not a SHA-256 in hex (64 digits)", shortened(text))
	}
	return digits, nil
}

// shortened makes a word of the operator's fit for a message.
func shortened(text string) string {
	const limit = 80
	if len(text) > limit {
		text = strings.ToValidUTF8(text[:limit], "") + "..."
	}
	return printable(text)
}

// ErrNoPins: a list of pinned EKs holds none.
var ErrNoPins = errors.New("it is empty")

func pinListError(err error) *VerificationError {
	return &VerificationError{Check: CheckPinList, Err: err}
}

// List are the pins in the order of the file.
func (p *Pins) List() []Pin { return slices.Clone(p.list) }

// Path is the file.
func (p *Pins) Path() string { return p.path }

// Verify checks the registered EK of an agent (TPM2B_PUBLIC) against the list:
//
//   - the EK can be read, and the list is not empty;
//   - if pins name this agent, one of them is for the EK: an id that is bound
//     to a TPM is not taken over by another one, allowed as that may be;
//   - if none does, a pin for any agent is for the EK.
//
// It does not ask who has made the TPM. Errors: *[VerificationError] of
// [CheckPublic], [CheckPinList], [CheckPin], or [CheckPinOther] where pins name
// this agent.
func (p *Pins) Verify(ekTPM []byte, agentID string) (Pin, error) {
	public, err := ParsePublic(ekTPM)
	if err != nil {
		return Pin{}, &VerificationError{Check: CheckPublic, Err: err}
	}
	return p.VerifyKey(public, agentID)
}

// VerifyKey is [Pins.Verify] of a key that was read before.
func (p *Pins) VerifyKey(public Public, agentID string) (Pin, error) {
	if len(p.list) == 0 {
		return Pin{}, pinListError(fmt.Errorf("the list of pinned EKs %s: %w", p.path, ErrNoPins))
	}
	refuse := func(check Check, format string, a ...any) (Pin, error) {
		return Pin{}, &VerificationError{Check: check, Err: fmt.Errorf(format, a...)}
	}
	der, text := public.KeyHash(), public.Hash()
	var own, others []Pin
	foreign := ""
	for _, pin := range p.list {
		switch {
		case agentID != "" && pin.AgentID == agentID:
			own = append(own, pin)
		case pin.AgentID == "":
			others = append(others, pin)
		case pin.Hash == der || pin.Hash == text:
			foreign = pin.AgentID
		}
	}
	if len(own) > 0 {
		others = own
	}
	for _, pin := range others {
		if pin.Hash == der || pin.Hash == text {
			return pin, nil
		}
	}
	switch {
	case len(own) > 0:
		return refuse(CheckPinOther, "another TPM uses the id of agent %s: its registered EK is %s..., and the pinned one is %s... (%s, line %d)",
			agentID, der[:16], own[0].Hash[:16], p.path, own[0].Line)
	case foreign != "" && agentID == "":
		return refuse(CheckPin, "the EK %s is pinned for agent %s alone in %s, and no agent is named here", der, foreign, p.path)
	case foreign != "":
		return refuse(CheckPin, "the EK %s is pinned in %s, but for another agent (%s)", der, p.path, foreign)
	}
	return refuse(CheckPin, "the EK %s is not in %s, which holds %s", der, p.path, count(len(p.list), "pin"))
}

// count writes a number and its noun.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// Add puts a pin at the end of the list, in memory; added is false if the list
// has it already. A hash, id or note that the file cannot hold is an error.
func (p *Pins) Add(pin Pin) (added bool, err error) {
	if pin.Hash, err = ParseHash(pin.Hash); err != nil {
		return false, err
	}
	if strings.ContainsFunc(pin.AgentID, func(r rune) bool { return r == '#' || unicode.IsSpace(r) || unicode.IsControl(r) }) {
		return false, fmt.Errorf("agent id %s: blanks and # cannot be in the list", shortened(pin.AgentID))
	}
	if strings.ContainsFunc(pin.Note, unicode.IsControl) {
		return false, errors.New("the note of a pin is one line of plain text")
	}
	for _, known := range p.list {
		if known.Hash == pin.Hash && known.AgentID == pin.AgentID {
			return false, nil
		}
	}
	line := pin.Hash
	if pin.AgentID != "" {
		line += " " + pin.AgentID
	}
	if pin.Note = strings.TrimSpace(pin.Note); pin.Note != "" {
		line += "  # " + pin.Note
	}
	if len(p.lines) == 0 {
		p.lines = strings.Split(pinHeader, "\n")
	}
	p.lines = append(p.lines, line)
	pin.Line = len(p.lines)
	p.list = append(p.list, pin)
	return true, nil
}

// Remove takes pins out of the list, in memory: those of an agent's id, or
// those of a hash, of which the first 8 digits are enough if they are clear.
// It fails if there is none, or if the digits fit several hashes.
func (p *Pins) Remove(which string) ([]Pin, error) {
	match := func(fits func(Pin) bool) (found []Pin) {
		for _, pin := range p.list {
			if fits(pin) {
				found = append(found, pin)
			}
		}
		return found
	}
	gone := match(func(pin Pin) bool { return pin.AgentID == which && which != "" })
	if digits := hexDigits(which); len(gone) == 0 && len(digits) >= shortHash {
		gone = match(func(pin Pin) bool { return strings.HasPrefix(pin.Hash, digits) })
		for _, pin := range gone {
			if pin.Hash != gone[0].Hash {
				return nil, fmt.Errorf("%s fits %d different pins: give more digits", shortened(which), len(gone))
			}
		}
	}
	if len(gone) == 0 {
		return nil, fmt.Errorf("no pin in %s is for an agent %s, or has a hash that begins so (at least %d digits)", p.path, shortened(which), shortHash)
	}
	for _, pin := range slices.Backward(gone) {
		p.lines = slices.Delete(p.lines, pin.Line-1, pin.Line)
	}
	left, err := ParsePins(p.path, []byte(strings.Join(p.lines, "\n")))
	if err != nil {
		return nil, err
	}
	*p = *left
	return gone, nil
}

// shortHash is how many digits of a hash are enough to name it.
const shortHash = 8

// hexDigits is a hash or its beginning in small letters without decoration, ""
// if it is none.
func hexDigits(text string) string {
	digits := strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(text, "sha256:")), ":", "")
	if strings.Trim(digits, "0123456789abcdef") != "" {
		return ""
	}
	return digits
}

// EditPins changes the list of a file, which is made if it is absent. Nobody
// else edits it meanwhile, and readers see the old list or the new one. Nothing
// is written if edit fails or changes nothing.
func EditPins(path string, edit func(*Pins) error) error {
	unlock, err := lock(path)
	if err != nil {
		return fmt.Errorf("the list of pinned EKs %s: %w", path, cause(err))
	}
	defer unlock()
	p, err := LoadPins(path)
	if errors.Is(err, fs.ErrNotExist) {
		p, err = &Pins{path: path}, nil
	}
	if err != nil {
		return err
	}
	before := slices.Clone(p.lines)
	if err := edit(p); err != nil {
		return err
	}
	if slices.Equal(before, p.lines) {
		return nil
	}
	text := strings.Join(p.lines, "\n")
	if text != "" {
		text += "\n"
	}
	if err := replace(path, []byte(text)); err != nil {
		return fmt.Errorf("the list of pinned EKs %s: %w", path, cause(err))
	}
	return nil
}

// cause is an error of the system without the path, which is named beside it.
func cause(err error) error {
	var path *fs.PathError
	var link *os.LinkError
	switch {
	case errors.As(err, &path):
		return path.Err
	case errors.As(err, &link):
		return link.Err
	}
	return err
}
