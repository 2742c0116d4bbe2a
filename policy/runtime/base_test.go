package runtime

import (
	"errors"
	"strings"
	"testing"
)

func TestParseBase(t *testing.T) {
	t.Parallel()
	p, warnings, err := ParseBase([]byte(`{"meta": {"version": 9}, "digests": {"/a": ["` + hexOf("b") + `", "` + hexOf("a") + `", "` + hexOf("b") + `"]}, "ima": {"log_hash_alg": "sha256", "dm_policy": {}}, "odd": 1, "release": "x"}`))
	if err != nil || len(warnings) != 1 || p.Meta.Version != 1 || p.IMA.LogHashAlg != "sha256" || p.Digests.Len() != 1 || p.Release != "0" {
		t.Fatalf("%s %q %v", p.Marshal(), warnings, err)
	}
	p.Excludes = []string{"b", "a", "b"}
	p.Normalize()
	if len(p.Digests.Get("/a")) != 2 || p.Digests.Get("/a")[0] != hexOf("a") || strings.Join(p.Excludes, "") != "ab" {
		t.Errorf("%s", p.Marshal())
	}
	p.Digests.Add("boot_aggregate", hexOf("c"))
	if got, want := string(p.Allowlist()), hexOf("c")+"  boot_aggregate\n"+hexOf("a")+"  /a\n"+hexOf("b")+"  /a\n"; got != want {
		t.Errorf("%s", got)
	}
	if p, _, err := ParseBase([]byte("{}")); err != nil || string(p.Marshal()) != emptyText {
		t.Errorf("%v", err)
	}
	var syntax *SyntaxError
	var schema *SchemaError
	var legacy *LegacyError
	for text, target := range map[string]any{
		"{":                                  &syntax,
		"[]":                                 &legacy,
		`{"payload": "eyJ9"}`:                &legacy,
		`{"hashes": {"/a": ["x"]}}`:          &legacy,
		`{"digests": []}`:                    &schema,
		`{"ima": {"ignored_keyrings": "x"}}`: &schema,
		`{"ima": 3}`:                         &schema,
		`{"verification-keys": "{}"}`:        &schema,
		string(read(t, fixtures+"rp-signed.json")): &legacy,
	} {
		if p, _, err := ParseBase([]byte(text)); p != nil || !errors.As(err, target) {
			t.Errorf("%.50s: %v", text, err)
		}
	}
}
