package upgrade

import (
	"slices"
	"testing"
)

// TestInheritance: what a section says itself goes before what it inherits.
func TestInheritance(t *testing.T) {
	t.Parallel()
	d := parse(t, "[DEFAULT]\na = 1\nb = 2\n[x]\nb = 3\n[y]\n")
	for _, c := range [][2]string{{"x.a", "1"}, {"x.b", "3"}, {"y.b", "2"}, {"DEFAULT.a", "1"}, {"z.a", ""}} {
		get(t, d, c[0], c[1])
	}
	var names []string
	for _, e := range d.entries("x") {
		names = append(names, e.name+"="+e.value)
	}
	if !slices.Equal(names, []string{"b=3", "a=1"}) {
		t.Errorf("%q", names)
	}
	if _, err := d.take("x", "a"); err == nil {
		t.Error("an inherited option was taken")
	}
	if e, err := d.take("x", "B"); err != nil || e.value != "3" || e.from != (Key{"x", "b"}) {
		t.Errorf("%+v, %v", e, err)
	}
	get(t, d, "x.b", "2")
	d.put("x", entry{name: "B", value: "4"})
	get(t, d, "x.b", "4")
}

func TestEqual(t *testing.T) {
	t.Parallel()
	const base = "[DEFAULT]\na = 1\n[x]\nb = 3\n[y]\nc = 1\n"
	for _, c := range []struct {
		name, other string
		want        bool
	}{
		{"the same", base, true},
		{"another order", "[y]\nc = 1\n[x]\nb = 3\n[DEFAULT]\na = 1\n", true},
		{"own or inherited", "[DEFAULT]\na = 1\n[x]\na = 1\nb = 3\n[y]\nc = 1\n", true},
		{"another value", "[DEFAULT]\na = 1\n[x]\nb = 4\n[y]\nc = 1\n", false},
		{"another default", "[DEFAULT]\na = 2\n[x]\nb = 3\n[y]\nc = 1\n", false},
		{"an option less", "[DEFAULT]\na = 1\n[x]\n[y]\nc = 1\n", false},
		{"another option", "[DEFAULT]\na = 1\n[x]\nd = 3\n[y]\nc = 1\n", false},
		{"a section less", "[DEFAULT]\na = 1\n[x]\nb = 3\n", false},
		{"another section", "[DEFAULT]\na = 1\n[x]\nb = 3\n[z]\nc = 1\n", false},
	} {
		if a, b := parse(t, base), parse(t, c.other); a.equal(b) != c.want || b.equal(a) != c.want {
			t.Errorf("%s: not %v", c.name, c.want)
		}
	}
	d := parse(t, base)
	if copied := d.clone(); !copied.equal(d) {
		t.Error("a copy is not equal")
	} else if copied.Set("x", "b", "5"); copied.equal(d) {
		t.Error("a copy is not a copy")
	}
}

// TestVersionOfAll: an update leaves its version in [DEFAULT], so that a new
// section has one for the next update, as upstream.
func TestVersionOfAll(t *testing.T) {
	t.Parallel()
	m := mapping(t, `{"version": "2.6", "type": "update", "components": {"fresh": {"add": {"new": "n"}}}}`)
	res, _ := run(t, &Request{Catalog: &everything{}, Input: parse(t, "[agent]\nversion = 2.0\n"), Mapping: m})
	get(t, res.Config, "fresh.version", "2.6")
	get(t, res.Config, "agent.version", "2.6")
}
