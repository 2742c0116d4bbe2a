package recorded_test

import (
	"bytes"
	"encoding/hex"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keylime/keylime-tenant/policy/eventlog"
	"github.com/keylime/keylime-tenant/tenant/lab/recorded"
)

// TestWithCommandLine holds what is made up against what was recorded: the
// same machine booted with another word on its command line.
func TestWithCommandLine(t *testing.T) {
	t.Parallel()
	before, err := recorded.Named(recorded.SecureBoot)
	if err != nil {
		t.Fatal(err)
	}
	after, err := recorded.Load(filepath.Join("../../../testdata/evidence", "sb-on-cmdline-changed"))
	if err != nil {
		t.Fatal(err)
	}
	words, found := strings.CutPrefix(commandLine(t, after), commandLine(t, before)+" ")
	if !found {
		t.Fatalf("recorded: %q, then %q", commandLine(t, before), commandLine(t, after))
	}
	made, err := before.WithCommandLine(words)
	if err != nil {
		t.Fatal(err)
	}
	want, got := events(t, after), events(t, made)
	for _, text := range []string{"kernel_cmdline: ", "grub_cmd: linux "} {
		if want[text] == "" || want[text] != got[text] {
			t.Errorf("%q: made %s, recorded %s", text, got[text], want[text])
		}
	}
	first, _, _ := bytes.Cut(made.IMA, []byte{'\n'})
	if old, _, _ := bytes.Cut(before.IMA, []byte{'\n'}); bytes.Equal(first, old) {
		t.Error("boot_aggregate has not changed")
	}
	for _, words := range []string{"", "a\nb", "a\x00"} {
		if _, err := before.WithCommandLine(words); err == nil {
			t.Errorf("words %q were taken", words)
		}
	}
	bios, err := recorded.Load(filepath.Join("../../../testdata/evidence", "bios"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = bios.WithCommandLine("quiet")
	if _, parseErr := eventlog.Parse(bios.Log); parseErr != nil && err == nil {
		t.Error("a log that cannot be read was changed")
	}
	if _, err := (recorded.Boot{Log: []byte("no log")}).WithCommandLine("quiet"); err == nil {
		t.Error("bytes that are no log were changed")
	}
}

func commandLine(t *testing.T, b recorded.Boot) string {
	t.Helper()
	log, err := eventlog.Parse(b.Log)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range log.Events {
		if text, found := strings.CutPrefix(strings.TrimRight(string(e.Data), "\x00"), "kernel_cmdline: "); found {
			return text
		}
	}
	t.Fatal("no command line")
	return ""
}

// events are data and digests of GRUB's events by how they begin.
func events(t *testing.T, b recorded.Boot) map[string]string {
	t.Helper()
	log, err := eventlog.Parse(b.Log)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, e := range log.Events {
		for _, begin := range []string{"kernel_cmdline: ", "grub_cmd: linux "} {
			if strings.HasPrefix(string(e.Data), begin) {
				found[begin] = string(e.Data) + hex.EncodeToString(e.Digest("sha1")) + hex.EncodeToString(e.Digest("sha256")) + hex.EncodeToString(e.Digest("sha384"))
			}
		}
	}
	return found
}
