package upgrade

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

// valid are mappings that are spoilt in one place each.
const (
	validFull = `{"version": "3.0", "type": "full", "components": {"agent": {"IP": {"section": "old", "option": "Addr", "default": "x"}}},
 "subcomponents": {"sub": "agent"}}`
	validUpdate = `{"version": "3.1", "type": "update", "components": {"agent": {"add": {"new": "1"}, "remove": ["gone"],
 "replace": {"was": {"section": "other", "option": "is", "default": "d"}}, "odd": 5}}}`
)

func TestParseMapping(t *testing.T) {
	t.Parallel()
	m, err := ParseMapping("m.json", []byte(validFull))
	if err != nil {
		t.Fatal(err)
	}
	want := &Mapping{Version: "3.0", number: Version{3, 0}, Full: true, Parents: map[string]string{"sub": "agent"},
		Sections: []SectionMap{{Name: "agent", Options: []Origin{{"ip", Key{"old", "addr"}, "x"}}}}}
	if !reflect.DeepEqual(m, want) {
		t.Errorf("got %+v", m)
	}
	if m, err = ParseMapping("m.json", []byte(validUpdate)); err != nil {
		t.Fatal(err)
	}
	want = &Mapping{Version: "3.1", number: Version{3, 1}, Sections: []SectionMap{{Name: "agent", Add: []Default{{"new", "1"}}, Remove: []string{"gone"},
		Replace: []Move{{"was", Key{"other", "is"}, "d"}}, Words: []string{"add", "remove", "replace", "odd"}}}}
	if !reflect.DeepEqual(m, want) {
		t.Errorf("got %+v", m)
	}
}

func TestParseMappingRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, text, old, new, cause string }{
		{"no JSON", validFull, "{", "", "JSON object"},
		{"no version", validFull, `"version"`, `"versio"`, `"version" is missing`},
		{"version no text", validFull, `"3.0"`, `3.0`, `"version" is not a text`},
		{"version no number", validFull, `"3.0"`, `"3"`, "not MAJOR.MINOR"},
		{"type", validFull, `"full"`, `"half"`, "neither full nor update"},
		{"type no text", validFull, `"full"`, `1`, `"type" is not a text`},
		{"no components", validFull, `"components"`, `"component"`, `"components" is missing`},
		{"components no object", validFull, `{"agent": {"IP": {"section": "old", "option": "Addr", "default": "x"}}}`, `[]`, `"components" is not an object`},
		{"components empty", validFull, `{"agent": {"IP": {"section": "old", "option": "Addr", "default": "x"}}}`, `{}`, "is empty"},
		{"DEFAULT", validFull, `"agent": {`, `"DEFAULT": {`, "[DEFAULT]"},
		{"section no object", validFull, `{"IP": {"section": "old", "option": "Addr", "default": "x"}}`, `1`, "[agent]: an object"},
		{"option no object", validFull, `{"section": "old", "option": "Addr", "default": "x"}`, `"x"`, "IP: an object"},
		{"no default", validFull, `"default"`, `"defaul"`, `IP: "default" is missing`},
		{"default no text", validFull, `"x"`, `null`, `"default" is not a text`},
		{"subcomponents", validFull, `{"sub": "agent"}`, `1`, `"subcomponents" is not an object`},
		{"parent", validFull, `"sub": "agent"`, `"sub": 1`, `"sub" is not a text`},
		{"add", validUpdate, `{"new": "1"}`, `[]`, "add: an object"},
		{"add no text", validUpdate, `"1"`, `1`, `"new" is not a text`},
		{"remove", validUpdate, `["gone"]`, `"gone"`, "remove: a list"},
		{"replace", validUpdate, `{"was": {"section": "other", "option": "is", "default": "d"}}`, `1`, "replace: an object"},
		{"replacement", validUpdate, `{"section": "other", "option": "is", "default": "d"}`, `1`, "was: an object"},
		{"replacement without section", validUpdate, `"section"`, `"sectio"`, `"section" is missing`},
		{"replacement without option", validUpdate, `"option"`, `"optio"`, `"option" is missing`},
		{"replacement without default", validUpdate, `"default"`, `"defaul"`, `"default" is missing`},
	} {
		text := strings.Replace(c.text, c.old, c.new, 1)
		m, err := ParseMapping("m.json", []byte(text))
		var e *MappingError
		if m != nil || !errors.As(err, &e) || !strings.Contains(e.Error(), c.cause) || !strings.HasPrefix(e.Error(), "m.json: ") {
			t.Errorf("%s: %v, want %q", c.name, err, c.cause)
		}
	}
	// As in Python, an origin that is not complete means that the default holds.
	m, err := ParseMapping("m.json", []byte(strings.Replace(validFull, `"section"`, `"sectio"`, 1)))
	if err != nil || m.Sections[0].Options[0].From != (Key{}) {
		t.Errorf("%+v, %v", m, err)
	}
}

func TestVersions(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"2.0": "2.0", ` "2.10" `: "2.10", "02.1": "2.1", "": "", "2": "", "2.": "", ".1": "", "2.0.1": "", "-2.0": "", "2.x": "", "99999999999999999999.1": ""} {
		v, ok := ParseVersion(text)
		if ok != (want != "") || ok && v.String() != want {
			t.Errorf("%q: %v %v", text, v, ok)
		}
	}
	if (Version{2, 9}).Compare(Version{2, 10}) >= 0 || (Version{3, 0}).Compare(Version{2, 10}) <= 0 || (Version{2, 1}).Compare(Version{2, 1}) != 0 {
		t.Error("the order of versions is that of their numbers")
	}
}

func FuzzParseMapping(f *testing.F) {
	f.Add([]byte(validFull))
	f.Add([]byte(validUpdate))
	f.Add([]byte(`{"version": "2.0", "components": {"agent": {}}}`))
	d := document("agent.ip=1", "agent.version=1.5", "old.addr=2", "DEFAULT.x=y")
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := ParseMapping("m.json", text)
		if err != nil {
			if m != nil {
				t.Error("a mapping beside an error")
			}
			return
		}
		for _, defaultsOnly := range []bool{false, true} {
			apply := m.update
			if m.Full {
				apply = m.full
			}
			if next, err := apply(d.clone(), defaultsOnly, nil, nil); err == nil {
				next.stripAll()
				_ = adjust(next, m.number) // what is missing is no fault of the mapping's
			}
		}
	})
}
