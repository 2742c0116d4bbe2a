package upgrade

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/keylime/keylime-tenant/cmd/internal/pyjson"
)

// Mapping says how a configuration becomes one of the next version.
type Mapping struct {
	// Version is the number as it is written; the directory of templates has it
	// for its name.
	Version string
	number  Version
	// Full means that every option of the new version is listed with its origin,
	// and what is not listed is dropped. Otherwise there are single operations,
	// and the rest stays.
	Full     bool
	Sections []SectionMap
	// Parents say for sections without a version which section has it: that of
	// revocations is verifier. Only full mappings need them.
	Parents map[string]string
}

// SectionMap is what a mapping says of one section.
type SectionMap struct {
	Name string
	// Options are those of a full mapping.
	Options []Origin
	// Add, Remove and Replace are the operations of the others, in which order
	// they are applied; Words are all that are written there, known or not.
	Add     []Default
	Remove  []string
	Replace []Move
	Words   []string
}

// Origin is an option of a full mapping: where its value stood before, and what
// it is if it stood nowhere. Without From the default always holds.
type Origin struct {
	Name    string
	From    Key
	Default string
}

// Default is an option that is added.
type Default struct{ Name, Value string }

// Move is an option that gets another name or another section.
type Move struct {
	Old     string
	New     Key
	Default string
}

// section finds what a mapping says of a section, nil if it says nothing.
func (m *Mapping) section(name string) *SectionMap {
	for i := range m.Sections {
		if m.Sections[i].Name == name {
			return &m.Sections[i]
		}
	}
	return nil
}

// MappingError is a mapping that cannot be used.
type MappingError struct {
	Path  string
	Cause string
}

func (e *MappingError) Error() string { return e.Path + ": " + e.Cause }

// ParseMapping reads a mapping.json. The order of its members is kept, since it
// counts. Errors: [*MappingError].
func ParseMapping(path string, data []byte) (*Mapping, error) {
	m, err := parseMapping(data)
	if err != nil {
		return nil, &MappingError{path, err.Error()}
	}
	return m, nil
}

func parseMapping(data []byte) (*Mapping, error) {
	top, err := pyjson.ParseObject(data)
	if err != nil {
		return nil, errors.New("this is no mapping: a JSON object was expected")
	}
	m := &Mapping{}
	if m.Version, err = text(top, "version"); err != nil {
		return nil, err
	}
	var ok bool
	if m.number, ok = ParseVersion(m.Version); !ok {
		return nil, fmt.Errorf("the version %q is not MAJOR.MINOR", m.Version)
	}
	m.Full = true
	if _, given := top.Get("type"); given {
		kind, err := text(top, "type")
		if err != nil {
			return nil, err
		}
		if kind != "full" && kind != "update" {
			return nil, fmt.Errorf("the type %q is neither full nor update", kind)
		}
		m.Full = kind == "full"
	}
	if err := m.parents(top); err != nil {
		return nil, err
	}
	components, err := object(top, "components")
	if err != nil {
		return nil, err
	}
	if len(components) == 0 {
		return nil, errors.New(`"components" is empty`)
	}
	for _, c := range components {
		if c.Key == defaults {
			return nil, errors.New("[DEFAULT] is no section that can be mapped")
		}
		s, err := parseSection(c, m.Full)
		if err != nil {
			return nil, fmt.Errorf("[%s]: %w", c.Key, err)
		}
		m.Sections = append(m.Sections, s)
	}
	return m, nil
}

func (m *Mapping) parents(top pyjson.Object) error {
	if _, given := top.Get("subcomponents"); !given {
		return nil
	}
	parents, err := object(top, "subcomponents")
	if err != nil {
		return err
	}
	m.Parents = map[string]string{}
	for _, p := range parents {
		if m.Parents[p.Key], err = text(parents, p.Key); err != nil {
			return err
		}
	}
	return nil
}

func parseSection(c pyjson.Member, full bool) (SectionMap, error) {
	s := SectionMap{Name: c.Key}
	members, err := pyjson.ParseObject(c.Value)
	if err != nil {
		return s, errors.New("an object was expected")
	}
	if full {
		for _, option := range members {
			o, err := parseOrigin(option)
			if err != nil {
				return s, fmt.Errorf("%s: %w", option.Key, err)
			}
			s.Options = append(s.Options, o)
		}
		return s, nil
	}
	for _, operation := range members {
		s.Words = append(s.Words, operation.Key)
		if err := s.operation(operation); err != nil {
			return s, fmt.Errorf("%s: %w", operation.Key, err)
		}
	}
	return s, nil
}

func parseOrigin(option pyjson.Member) (Origin, error) {
	o := Origin{Name: strings.ToLower(option.Key)}
	members, err := pyjson.ParseObject(option.Value)
	if err != nil {
		return o, errors.New("an object was expected")
	}
	if o.Default, err = text(members, "default"); err != nil {
		return o, err
	}
	section, noSection := text(members, "section")
	name, noOption := text(members, "option")
	if noSection == nil && noOption == nil { // as in Python, where the default holds then
		o.From = Key{section, strings.ToLower(name)}
	}
	return o, nil
}

func (s *SectionMap) operation(operation pyjson.Member) error {
	switch operation.Key {
	case "add":
		members, err := pyjson.ParseObject(operation.Value)
		if err != nil {
			return errors.New("an object was expected")
		}
		for _, m := range members {
			value, err := text(members, m.Key)
			if err != nil {
				return err
			}
			s.Add = append(s.Add, Default{strings.ToLower(m.Key), value})
		}
	case "remove":
		if err := json.Unmarshal(operation.Value, &s.Remove); err != nil {
			return errors.New("a list of names was expected")
		}
	case "replace":
		members, err := pyjson.ParseObject(operation.Value)
		if err != nil {
			return errors.New("an object was expected")
		}
		for _, m := range members {
			move, err := parseMove(m)
			if err != nil {
				return fmt.Errorf("%s: %w", m.Key, err)
			}
			s.Replace = append(s.Replace, move)
		}
	}
	return nil
}

func parseMove(member pyjson.Member) (Move, error) {
	move := Move{Old: strings.ToLower(member.Key)}
	members, err := pyjson.ParseObject(member.Value)
	if err != nil {
		return move, errors.New("an object was expected")
	}
	if move.New.Section, err = text(members, "section"); err != nil {
		return move, err
	}
	if move.New.Option, err = text(members, "option"); err != nil {
		return move, err
	}
	move.New.Option = strings.ToLower(move.New.Option)
	move.Default, err = text(members, "default")
	return move, err
}

// text is a member that must be a text.
func text(o pyjson.Object, key string) (string, error) {
	raw, found := o.Get(key)
	if !found {
		return "", fmt.Errorf("%q is missing", key)
	}
	var value *string
	if err := json.Unmarshal(raw, &value); err != nil || value == nil {
		return "", fmt.Errorf("%q is not a text", key)
	}
	return *value, nil
}

// object is a member that must be an object.
func object(o pyjson.Object, key string) (pyjson.Object, error) {
	raw, found := o.Get(key)
	if !found {
		return nil, fmt.Errorf("%q is missing", key)
	}
	members, err := pyjson.ParseObject(raw)
	if err != nil {
		return nil, fmt.Errorf("%q is not an object", key)
	}
	return members, nil
}
