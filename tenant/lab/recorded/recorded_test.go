package recorded_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/keylime/keylime-tenant/tenant/lab/recorded"
)

func TestNamedIsTheEvidence(t *testing.T) {
	t.Parallel()
	for _, name := range []string{recorded.SecureBoot, recorded.NoSecureBoot} {
		inside, err := recorded.Named(name)
		if err != nil {
			t.Fatal(err)
		}
		outside, err := recorded.Load(filepath.Join("../../../testdata/evidence", name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(inside.Log, outside.Log) || !bytes.Equal(inside.IMA, outside.IMA) {
			t.Errorf("%s differs from testdata/evidence/%s", name, name)
		}
	}
	if _, err := recorded.Named("../sb-on"); err == nil {
		t.Error("a name that leads out of the package was taken")
	}
}

func TestLoad(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := recorded.Load(dir); err == nil {
		t.Error("a directory without evidence was taken")
	}
	if err := os.WriteFile(filepath.Join(dir, recorded.IMAName), []byte("10 ...\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	boot, err := recorded.Load(dir)
	if err != nil || boot.Log != nil || string(boot.IMA) != "10 ...\n" {
		t.Errorf("log %d bytes, list %q, %v", len(boot.Log), boot.IMA, err)
	}
}
