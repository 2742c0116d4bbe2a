//go:build interop

package interop

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestOldPlaces: the scripts that packages have in share/keylime/scripts are
// there after make install, and do their work however they are called: suites
// and roles give them to python3 and to shells.
func TestOldPlaces(t *testing.T) {
	i := installed(t)
	dir := t.TempDir()
	run(t, 5*time.Minute, os.Environ(), "../../..", "make", "-s", "install", "DESTDIR="+dir, "PREFIX=/usr").want(t, 0)
	scripts := filepath.Join(dir, "usr/share/keylime/scripts")
	tool := filepath.Join(scripts, "create_mb_refstate")
	link := filepath.Join(dir, "link")
	must(t, os.Symlink(tool, link))
	log, err := filepath.Abs("../../../testdata/evidence/sb-on/binary_bios_measurements")
	must(t, err)
	var first []byte
	for n, program := range [][]string{{tool}, {link}, {"sh", tool}, {"bash", tool}, {i.python(), tool}, {i.python(), link}} {
		out := filepath.Join(dir, "out.json")
		run(t, time.Minute, os.Environ(), dir, append(program, log, out)...).want(t, 0)
		text, err := os.ReadFile(out)
		must(t, err)
		if n == 0 {
			first = text
		}
		if len(text) == 0 || !bytes.Equal(text, first) {
			t.Errorf("%v writes %d bytes, %s %d", program, len(text), tool, len(first))
		}
		must(t, os.Remove(out))
		run(t, time.Minute, os.Environ(), dir, append(program, "--no-such-option")...).want(t, 2, "usage: create_mb_refstate")
	}
	for _, name := range []string{"create_runtime_policy.sh", "keylime_oneshot_attestation", "ek-openssl-verify"} {
		r := run(t, time.Minute, os.Environ(), dir, filepath.Join(scripts, name), "--help").want(t, 0)
		if !strings.Contains(strings.ToLower(r.out), "usage: "+name) {
			t.Errorf("%s --help\n%s%s", name, r.out, r.err)
		}
	}
	must(t, os.Remove(filepath.Join(dir, "usr/bin/create_mb_refstate")))
	run(t, time.Minute, os.Environ(), dir, i.python(), tool).want(t, 1, "error: ", "No such file or directory")
	run(t, 5*time.Minute, os.Environ(), "../../..", "make", "-s", "uninstall", "DESTDIR="+dir, "PREFIX=/usr").want(t, 0)
	must(t, filepath.Walk(filepath.Join(dir, "usr"), func(path string, info os.FileInfo, err error) error {
		if err == nil && !info.IsDir() {
			t.Errorf("make uninstall leaves %s", path)
		}
		return err
	}))
}
