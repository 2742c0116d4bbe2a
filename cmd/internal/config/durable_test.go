package config

import (
	"errors"
	"strings"
	"testing"
)

func TestDurable(t *testing.T) {
	t.Parallel()
	root := tree(t, map[string]string{
		"etc/keylime/registrar.conf":              "[registrar]\nip = 1.2.3.4\ndurable_attestation_import = keylime.da.examples.file\npersistent_store_url = \"file:///a?prefix=p\"\n",
		"etc/keylime/registrar.conf.d/10-da.conf": "[registrar]\npersistent_store_url = file:///b?prefix=q\n",
		"etc/keylime/verifier.conf":               "[verifier]\nuuid = default\nmeasured_boot_policy_name = example\nmeasured_boot_evaluate = always\nignore_tomtou_errors = True\n",
	})
	d, err := LoadDurable(Options{Root: root, Env: []string{"KEYLIME_REGISTRAR_PERSISTENT_STORE_ENCODING=base64", "KEYLIME_REGISTRAR_IP=::1"}}, "registrar")
	if err != nil {
		t.Fatal(err)
	}
	if d.Import != "keylime.da.examples.file" || d.URL != "file:///b?prefix=q" || d.Format != "json" || d.Encoding != "base64" || len(d.Warnings) > 0 {
		t.Errorf("%+v", d)
	}
	if got := d.Origin("persistent_store_url").String(); got != "/etc/keylime/registrar.conf.d/10-da.conf:2" {
		t.Errorf("origin %s", got)
	}
	if len(d.EnvOverrides) != 1 || len(d.Sources) != 1 || len(d.SnippetDirs) != 1 {
		t.Errorf("%+v", d)
	}
	j, err := LoadJudging(Options{Root: root})
	if err != nil || j.BootPolicy != "example" || !j.BootAlways || !j.Violations {
		t.Errorf("%+v %v", j, err)
	}
}

func TestDurablePresets(t *testing.T) {
	t.Parallel()
	o := Options{Root: t.TempDir()}
	d, err := LoadDurable(o, "verifier")
	if err != nil || d.Import != "" || d.URL != "" || d.Format != "json" || d.Encoding != "" {
		t.Errorf("%+v %v", d, err)
	}
	j, err := LoadJudging(o)
	if err != nil || j.BootPolicy != "accept-all" || j.BootAlways || j.Violations {
		t.Errorf("%+v %v", j, err)
	}
}

// TestJudgingRefuses: a misspelt value is an error that names it, and what would do.
func TestJudgingRefuses(t *testing.T) {
	t.Parallel()
	for option, want := range map[string]struct {
		value, hint string
		kind        Kind
	}{
		"measured_boot_evaluate": {"onec", "once or always", KindChoice},
		"ignore_tomtou_errors":   {"maybe", "True or False", KindBoolean},
	} {
		root := tree(t, map[string]string{"etc/keylime/verifier.conf": "[verifier]\n" + option + " = " + want.value + "\n"})
		_, err := LoadJudging(Options{Root: root})
		var e *Error
		if !errors.As(err, &e) || e.Kind != want.kind || e.Option != option || e.Origin.Line != 2 || !strings.Contains(e.Hint, want.hint) {
			t.Errorf("%s: %v", option, err)
		}
	}
}
