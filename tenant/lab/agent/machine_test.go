package agent_test

import (
	"archive/zip"
	"bufio"
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keylime/keylime-tenant/tenant/lab/agent"
	"github.com/keylime/keylime-tenant/tenant/lab/recorded"
	"github.com/keylime/keylime-tenant/tenant/lab/softtpm"
)

const evidence = "../../../testdata/evidence"

// newTPM makes a TPM with EC keys, which are made at once.
func newTPM(t *testing.T) *softtpm.TPM {
	t.Helper()
	tpm, err := softtpm.New(softtpm.Options{EKAlg: "ecc", AKAlg: "ecc"})
	if err != nil {
		t.Fatal(err)
	}
	return tpm
}

func newMachine(t *testing.T, name, dir string) *agent.Machine {
	t.Helper()
	boot, err := recorded.Load(filepath.Join(evidence, name))
	if err != nil {
		t.Fatal(err)
	}
	machine, err := agent.NewMachine(newTPM(t), boot, dir)
	if err != nil {
		t.Fatal(err)
	}
	return machine
}

// TestMachineHasTheRecordedRegisters holds the registers that replaying gives
// against those that the TPM of the recorded machine had.
func TestMachineHasTheRecordedRegisters(t *testing.T) {
	t.Parallel()
	entries, err := os.ReadDir(evidence)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if !entry.IsDir() {
			continue
		}
		t.Run(entry.Name(), func(t *testing.T) {
			t.Parallel()
			machine := newMachine(t, entry.Name(), "")
			text, err := os.ReadFile(filepath.Join(evidence, entry.Name(), "pcrs.txt"))
			if err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(bytes.NewReader(text))
			for lines.Scan() {
				var bank, want string
				var n int
				if _, err := fmt.Sscan(lines.Text(), &bank, &n, &want); err != nil {
					t.Fatal(err)
				}
				if n == 16 || bank == "sha384" && n == 10 {
					// 16 held that machine's transport key. Its kernel had no
					// SHA-384 when IMA began and extended padded SHA-1 digests,
					// which no verifier could replay.
					continue
				}
				got, err := machine.TPM().PCR(bank, n)
				if err != nil {
					t.Fatal(err)
				}
				if text := hex.EncodeToString(got); text != strings.ToLower(want) {
					t.Errorf("%s PCR %d: %s, recorded %s", bank, n, text, want)
				}
			}
		})
	}
}

func TestMachineTampering(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	machine := newMachine(t, "sb-on", dir)
	before, _ := machine.TPM().PCR("sha256", 23)
	if err := machine.ExtendPCR(23, "x"); err != nil {
		t.Fatal(err)
	}
	if after, _ := machine.TPM().PCR("sha256", 23); bytes.Equal(before, after) {
		t.Error("PCR 23 has not changed")
	}
	for _, n := range []int{-1, 16, 24} {
		if err := machine.ExtendPCR(n, "x"); err == nil {
			t.Errorf("PCR %d was extended", n)
		}
	}
	before, _ = machine.TPM().PCR("sha256", 10)
	digest, err := machine.RunFile("/tmp/unknown file", []byte("#!/bin/sh\n"))
	if err != nil {
		t.Fatal(err)
	}
	if after, _ := machine.TPM().PCR("sha256", 10); bytes.Equal(before, after) {
		t.Error("PCR 10 has not changed")
	}
	list, err := os.ReadFile(filepath.Join(dir, recorded.IMAName))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasSuffix(list, []byte(" ima-ng sha256:"+digest+" /tmp/unknown_file\n")) {
		t.Errorf("the list ends with %q", list[len(list)-100:])
	}
	// A machine that boots from what this one shows has the same PCR 10.
	boot, err := recorded.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	other, err := agent.NewMachine(newTPM(t), boot, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, bank := range softtpm.Banks() {
		a, _ := machine.TPM().PCR(bank, 10)
		b, _ := other.TPM().PCR(bank, 10)
		if !bytes.Equal(a, b) {
			t.Errorf("bank %s: list and PCR 10 differ", bank)
		}
	}
	if _, err := machine.RunFile("two\nlines", nil); err == nil {
		t.Error("a path with a newline was measured")
	}
	if err := machine.Boot(recorded.Boot{Log: []byte("no log")}); err == nil {
		t.Error("a machine booted from a log that is none")
	}
	if after, _ := machine.TPM().PCR("sha256", 23); bytes.Equal(before, after) {
		t.Error("a failed boot changed the machine")
	}
}

// zipOf makes an archive of names and texts.
func zipOf(t *testing.T, namesAndTexts ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for i := 0; i < len(namesAndTexts); i += 2 {
		f, err := w.Create(namesAndTexts[i])
		if err == nil {
			_, err = f.Write([]byte(namesAndTexts[i+1]))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
