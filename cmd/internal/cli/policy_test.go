package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/keylime/keylime-tenant/policy/runtime/source"
)

const evidence = "../../../testdata/evidence"

func evidenceFile(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(evidence, name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// callAs runs a call in this process under a name of the binary.
func callAs(ctx context.Context, t *testing.T, name string, args ...string) (out, errs string, code int) {
	t.Helper()
	var o, e bytes.Buffer
	code = Main(ctx, append([]string{name}, args...), nil, Streams{In: strings.NewReader(""), Out: &o, Err: &e})
	return o.String(), e.String(), code
}

// TestRecognise: what a file is is told by its content.
func TestRecognise(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, data string
		want       content
	}{
		{"nothing", "", contentEmpty},
		{"blanks", " \n\n", contentEmpty},
		{"boot log", string(evidenceFile(t, "sb-on/binary_bios_measurements")), contentBootLog},
		{"SeaBIOS log", string(evidenceFile(t, "bios/binary_bios_measurements")), contentBootLog},
		{"IMA list", string(evidenceFile(t, "sb-on/ima_ascii.txt")), contentIMAList},
		{"binary IMA list", string(evidenceFile(t, "sb-on/ima_binary.bin")), contentIMABinary},
		{"output of tpm2_eventlog", string(evidenceFile(t, "sb-on/eventlog.yaml")), contentUnknown},
		{"PCRs", string(evidenceFile(t, "sb-on/pcrs.txt")), contentUnknown},
		{"allowlist", "# made by hand\n" + strings.Repeat("ab", 32) + "  /usr/bin/x\n", contentAllowlist},
		{"allowlist of sha256sum with a quoted name", `\` + strings.Repeat("ab", 32) + "  /usr/bin/x\n", contentAllowlist},
		{"JSON allowlist", `{"hashes": {"/x": []}}`, contentAllowlist},
		{"measured-boot policy", `{"has_secureboot": true}`, contentMBPolicy},
		{"broken measured-boot policy", `{"scrtm_and_bios": [`, contentMBPolicy},
		{"runtime policy", `{"meta": {}, "digests": {}}`, contentRuntimePolicy},
		{"runtime policy behind a byte order mark", "\xef\xbb\xbf" + `{"meta": {}, "digests": {}}`, contentRuntimePolicy},
		{"envelope", `{"payload": "e30=", "payloadType": "x", "signatures": []}`, contentSigned},
		{"empty policy", `{}`, contentJSON},
		{"null", `null`, contentJSON},
		{"text", "root:x:0:0\n", contentUnknown},
	} {
		got := recognise([]byte(c.data)[:min(len(c.data), peeked)])
		if got == contentJSON {
			got = recogniseJSON([]byte(c.data))
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func FuzzRecognise(f *testing.F) {
	for _, name := range []string{"sb-on/binary_bios_measurements", "sb-on/ima_ascii.txt", "sb-on/ima_binary.bin", "sb-on/eventlog.yaml"} {
		f.Add(evidenceFile(f, name)[:peeked])
	}
	f.Add([]byte(`{"digests": {}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if got := recognise(data); got == contentJSON {
			recogniseJSON(data)
		} else if (got == contentEmpty) != (len(bytes.Trim(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")), " \t\r\n")) == 0) {
			t.Errorf("%s: %q", got, data)
		}
	})
}

func TestParseRegisters(t *testing.T) {
	t.Parallel()
	sha1, sha256 := strings.Repeat("0A", 20), strings.Repeat("0b", 32)
	for _, c := range []struct {
		name, text, fault string
		banks             map[string]int
	}{
		{"evidence", string(evidenceFile(t, "sb-on/pcrs.txt")), "", map[string]int{"sha1": 24, "sha256": 24, "sha384": 24}},
		{"tpm2_pcrread", "sha1:\n  0 : 0x" + sha1 + "\n  23: 0x" + sha1 + "\nsha256:\n  0 : 0x" + sha256, "", map[string]int{"sha1": 2, "sha256": 1}},
		{"values alone", "# comment\n4 " + sha256 + "\nPCR-05: " + sha256 + "\n", "", map[string]int{"sha256": 2}},
		{"nothing", "\n", "no values of PCRs", nil},
		{"no value", "0 xyz", `line 1: "0 xyz" is no value of a PCR`, nil},
		{"no such PCR", "24 " + sha1, "line 1: there is no PCR 24", nil},
		{"odd digits", "1 abc", "line 1: PCR 1: encoding/hex: odd length hex string", nil},
		{"other bank", "sha1 1 " + sha256, `line 1: PCR 1 has 32 octets, which is no value of bank "sha1"`, nil},
		{"no bank", "1 abcd", `line 1: PCR 1 has 2 octets, which is no value of bank ""`, nil},
		{"twice", "1 " + sha1 + "\n01 " + sha1, "line 2: PCR 1 of bank sha1 has two values", nil},
	} {
		banks, err := parseRegisters([]byte(c.text))
		if c.fault != "" {
			if err == nil || err.Error() != c.fault {
				t.Errorf("%s: error %v, want %s", c.name, err, c.fault)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		for bank, n := range c.banks {
			if len(banks[bank]) != n {
				t.Errorf("%s: %d values of bank %s, want %d", c.name, len(banks[bank]), bank, n)
			}
		}
	}
}

func FuzzParseRegisters(f *testing.F) {
	f.Add(evidenceFile(f, "sb-on/pcrs.txt"))
	f.Add([]byte("sha256:\n  0 : 0x00\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		banks, err := parseRegisters(data)
		if (err == nil) != (len(banks) > 0) {
			t.Errorf("%d banks with error %v", len(banks), err)
		}
	})
}

// TestReadQuote: a quote string alone, and an agent's answer around it.
func TestReadQuote(t *testing.T) {
	t.Parallel()
	text := strings.TrimSpace(string(evidenceFile(t, "sb-on/integrity_quote.txt")))
	for _, c := range []struct{ name, text, quote, hash, sign string }{
		{"rsa", text, text, "sha256", "rsassa"},
		{"ecc", string(evidenceFile(t, "sb-on/integrity_ecc_quote.txt")), "", "sha256", "ecdsa"},
		{"answer", `{"code": 200, "results": {"quote": "` + text + `", "hash_alg": "sha384", "sign_alg": "ecdsa"}}`, text, "sha384", "ecdsa"},
		{"results", `{"quote": "rx", "hash_alg": "a", "sign_alg": "b"}`, "rx", "a", "b"},
		{"nonsense", "r:", "r:", "", ""},
		{"no base64", "r:*", "r:*", "", ""},
	} {
		q, err := readQuote([]byte(c.text + "\n"))
		if err != nil || c.quote != "" && q.Quote != c.quote || q.HashAlg != c.hash || q.SignAlg != c.sign {
			t.Errorf("%s: %.20q %q %q %v", c.name, q.Quote, q.HashAlg, q.SignAlg, err)
		}
	}
	for _, text := range []string{`{`, `{"results": {}}`} {
		if _, err := readQuote([]byte(text)); err == nil {
			t.Errorf("%s: no error", text)
		}
	}
}

// TestUnreadable: what root alone may read, and what is not there, is explained.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		path         string
		err          error
		want, advice string
	}{
		{"/sys/kernel/security/tpm0/binary_bios_measurements", fs.ErrPermission, "root alone may read it: permission denied", "sudo cat /sys/"},
		{"/sys/kernel/security/tpm0/binary_bios_measurements", fs.ErrNotExist, "file does not exist", "is there a TPM"},
		{kernelList, fs.ErrNotExist, "file does not exist", "ima_policy=tcb"},
		{"boot.log", fs.ErrPermission, "boot.log: permission denied", ""},
	} {
		err := unreadable(c.path, &fs.PathError{Op: "open", Path: c.path, Err: c.err})
		var file *fileError
		if !errors.As(err, &file) || !strings.HasSuffix(err.Error(), c.want) || !strings.Contains(file.Advice, c.advice) || (c.advice == "") != (file.Advice == "") {
			t.Errorf("%s: %v; %s", c.path, err, file.Advice)
		}
		if exitCode(err) != exitUsage {
			t.Errorf("%s: exit code %d", c.path, exitCode(err))
		}
	}
}

// TestByName: called through a link, the binary is the tool of that name; as the
// first word the name does the same.
func TestByName(t *testing.T) {
	t.Parallel()
	dir, log := t.TempDir(), filepath.Join(evidence, "sb-on/binary_bios_measurements")
	out := filepath.Join(dir, "by-name.json")
	if _, errs, code := callAs(t.Context(), t, "/usr/share/keylime/scripts/create_mb_refstate", log, out); code != 0 || errs != "" {
		t.Fatal(code, errs)
	}
	byName, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	stdout, _, code := callAs(t.Context(), t, "keylime_tenant", "create_mb_refstate", log, "-")
	if code != 0 || stdout != string(byName) {
		t.Errorf("as a verb: %d, %d octets, want %d", code, len(stdout), len(byName))
	}
	for name := range companions() {
		stdout, errs, code := callAs(t.Context(), t, name, "-h")
		if name == encryptProgram {
			continue // it takes -h for a file, as it always did
		}
		usage := "usage: " + name // "Usage:" where a tool was a script
		if code != 0 || errs != "" || !strings.EqualFold(stdout[:min(len(stdout), len(usage))], usage) {
			t.Errorf("%s -h: %d %q %q", name, code, stdout, errs)
		}
	}
}

// TestInterrupted: an interrupt while files are hashed leaves no file.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	out := filepath.Join(dir, "p.json")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errInterrupted)
	for _, args := range [][]string{
		{"policy", "create", "runtime", "--rootfs", evidence, "--any-owner", "-o", out},
		{"policy", "show", filepath.Join(evidence, "sb-on/ima_ascii.txt")},
	} {
		if _, errs, code := callAs(ctx, t, "keylime_tenant", args...); code != exitInterrupted || !strings.Contains(errs, "interrupted") {
			t.Errorf("%q: %d %s", args, code, errs)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("left behind: %v %v", entries, err)
	}
}

// TestProgress: a bar appears on a terminal only, and is taken off again.
func TestProgress(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		tty   bool
		quiet bool
		want  bool
	}{{"terminal", true, false, true}, {"quiet", true, true, false}, {"file", false, false, false}} {
		var errs bytes.Buffer
		a := newApp([]string{"keylime_tenant"}, nil, Streams{Err: &errs, ErrTTY: c.tty, Width: 80})
		a.global.quiet = c.quiet
		bar := a.newProgress()
		bar.report(source.Progress{Source: "tree", Searching: true, Files: 1, Total: 5})
		bar.report(source.Progress{Source: "tree", Files: 2, Total: 5, Bytes: 3 << 20})
		bar.clear()
		bar.report(source.Progress{Source: "rpm", Files: 1, Total: 2})
		bar.done()
		bar.report(source.Progress{Source: "rpm", Files: 2, Total: 2})
		text := errs.String()
		if c.want != strings.Contains(text, "hashing files") || strings.Contains(text, "\n") {
			t.Errorf("%s: %q", c.name, text)
		}
		if c.want && strings.Contains(text[strings.LastIndex(text, "\r"):], "reading") {
			t.Errorf("%s: the bar stays: %q", c.name, text)
		}
	}
}

// TestCheckOverTheSevenBoots: policy check agrees with itself over text, JSON
// and exit code, and a policy accepts its own boot.
func TestCheckOverTheSevenBoots(t *testing.T) {
	t.Parallel()
	start := time.Now()
	dir := t.TempDir()
	boots := []string{"sb-on", "sb-off", "sb-on-reboot", "sb-on-cmdline-changed", "sb-on-initrd-changed", "sb-on-ima-violation"}
	for _, from := range boots {
		policyPath := filepath.Join(dir, from+".json")
		if _, errs, code := callAs(t.Context(), t, "keylime_tenant", "policy", "create", "measured-boot", "-i", filepath.Join(evidence, from, "binary_bios_measurements"), "-o", policyPath, "-q"); code != 0 {
			t.Fatal(from, code, errs)
		}
		for _, boot := range boots {
			out, _, code := callAs(t.Context(), t, "keylime_tenant", "policy", "check", "--mb-policy", policyPath,
				filepath.Join(evidence, boot, "binary_bios_measurements"), "--pcrs", filepath.Join(evidence, boot, "pcrs.txt"), "-o", "json")
			var verdict struct {
				Accepted bool
				Findings []struct{ Check, Message string }
			}
			if err := json.Unmarshal([]byte(out), &verdict); err != nil {
				t.Fatal(err)
			}
			if verdict.Accepted != (code == exitOK) || verdict.Accepted != (len(verdict.Findings) == 0) || code != exitOK && code != exitRefused {
				t.Errorf("policy of %s, boot %s: %d, %+v", from, boot, code, verdict)
			}
			if from == boot && !verdict.Accepted {
				t.Errorf("the policy of %s refuses its own boot: %+v", from, verdict.Findings)
			}
		}
	}
	t.Logf("42 calls in %s", time.Since(start))
}
