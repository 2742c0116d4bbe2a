package upgrade

import (
	"slices"
	"strings"
)

// History is what the versions of a catalogue know of options.
type History struct {
	// since is the first version that has an option, names what options of older
	// versions are called now, owners which component a section belongs to.
	since  map[Key]Version
	names  map[Key]Key
	owners map[string]string
	// usual are all values that an option has had for its default.
	usual map[Key][]string
}

// NewHistory reads all mappings of a catalogue, and one besides, if there is
// one.
func NewHistory(c Catalog, besides *Mapping) (*History, error) {
	h := &History{since: map[Key]Version{}, names: map[Key]Key{}, owners: map[string]string{}, usual: map[Key][]string{}}
	for _, v := range c.Versions() {
		m, err := c.Mapping(v)
		if err != nil {
			return nil, err
		}
		h.add(m)
	}
	if besides != nil {
		h.add(besides)
	}
	return h, nil
}

func (h *History) add(m *Mapping) {
	know := func(k Key, usual string) {
		h.usual[k] = append(h.usual[k], usual)
		if _, known := h.since[k]; !known {
			h.since[k] = m.number
		}
	}
	for _, s := range m.Sections {
		owner := s.Name
		if parent, found := m.Parents[s.Name]; found {
			owner = parent
		}
		h.own(s.Name, owner)
		for _, o := range s.Options {
			k := Key{s.Name, o.Name}
			know(k, o.Default)
			if o.From != k && o.From != (Key{}) {
				h.names[o.From] = k
				h.own(o.From.Section, owner)
			}
		}
		for _, o := range s.Add {
			know(Key{s.Name, o.Name}, o.Value)
		}
		for _, move := range s.Replace {
			know(move.New, move.Default)
			if old := (Key{s.Name, move.Old}); old != move.New {
				h.names[old] = move.New
			}
		}
	}
}

// own notes the owner of a section; the first counts.
func (h *History) own(section, owner string) {
	if _, known := h.owners[section]; !known && slices.Contains(Components(), owner) {
		h.owners[section] = owner
	}
}

// Usual says whether a value is one that the option has had for its default, so
// that nobody has chosen it.
func (h *History) Usual(k Key, value string) bool { return slices.Contains(h.usual[k], strip(value)) }

// Default is the newest default of an option.
func (h *History) Default(k Key) (value string, known bool) {
	all := h.usual[k]
	if len(all) == 0 {
		return "", false
	}
	return all[len(all)-1], true
}

// Options are the names of options that a section has had in any version.
func (h *History) Options(section string) []string {
	var names []string
	for k := range h.since {
		if k.Section == section {
			names = append(names, k.Option)
		}
	}
	slices.Sort(names)
	return names
}

// Secret says whether the value of an option must not be shown.
func Secret(option string) bool {
	return strings.Contains(option, "password") || strings.HasSuffix(option, "_pw")
}

// redacted stands where a secret is.
const redacted = "[redacted]"

// Shown is a value as it may be shown: no password, neither as a value nor
// inside of an address such as mysql://user:password@host/.
func Shown(option, value string) string {
	if Secret(option) && value != "" && value != "default" && value != "generate" {
		return redacted
	}
	scheme := strings.Index(value, "://")
	if scheme < 0 {
		return value
	}
	head, rest := value[:scheme+3], value[scheme+3:]
	authority := rest
	if i := strings.IndexAny(rest, "/?# ,"); i >= 0 && strings.Contains(rest[:i], "@") {
		authority = rest[:i]
	}
	at := strings.LastIndex(authority, "@")
	if at < 0 {
		return maskQuery(value)
	}
	user, _, found := strings.Cut(authority[:at], ":")
	if !found {
		return maskQuery(value)
	}
	return maskQuery(head + user + ":" + redacted + rest[at:])
}

// maskQuery hides what an address says behind password=.
func maskQuery(value string) string {
	at := strings.Index(strings.ToLower(value), "password=")
	if at < 0 {
		return value
	}
	at += len("password=")
	rest := ""
	if end := strings.IndexAny(value[at:], "&# ,"); end >= 0 {
		rest = value[at+end:]
	}
	return value[:at] + redacted + rest
}

// Owners are the components of which a configuration has a section.
func (h *History) Owners(d *Document) []string {
	var owners []string
	for _, s := range d.sections {
		if owner, known := h.owners[s.name]; known && !slices.Contains(owners, owner) {
			owners = append(owners, owner)
		}
	}
	return owners
}
