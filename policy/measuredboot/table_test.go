package measuredboot

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/keylime/keylime-tenant/policy"
	"github.com/keylime/keylime-tenant/policy/eventlog"
)

const testdata = "../../testdata"

var boots = []string{"sb-on", "sb-on-reboot", "sb-on-ima-violation", "sb-on-initrd-changed", "sb-on-cmdline-changed", "sb-off", "bios"}

func readFile(tb testing.TB, path ...string) []byte {
	tb.Helper()
	b, err := os.ReadFile(filepath.Join(append([]string{testdata}, path...)...))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func bootLog(tb testing.TB, boot string) *eventlog.Log {
	tb.Helper()
	path := []string{"evidence", boot, "binary_bios_measurements"}
	if boot == "uefi" {
		path = []string{"vectors", "uefi_log.bin"}
	}
	l, err := eventlog.Parse(readFile(tb, path...))
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

func policyOf(tb testing.TB, boot string) *Policy {
	tb.Helper()
	p, err := Create(bootLog(tb, boot), CreateOptions{WithoutSecureBoot: true, AllowPartial: true})
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// metadata is what record.sh noted about a boot.
type metadata struct {
	SecureBoot *struct{ SecureBoot int } `json:"secure_boot"`
	BootFiles  map[string]struct {
		SHA256       string `json:"sha256"`
		Authenticode string `json:"authenticode_sha256"`
	} `json:"boot_files"`
	CommandLine string `json:"cmdline"`
}

func metaOf(tb testing.TB, boot string) metadata {
	tb.Helper()
	var m metadata
	if err := json.Unmarshal(readFile(tb, "evidence", boot, "meta.json"), &m); err != nil {
		tb.Fatal(err)
	}
	return m
}

func checks(v policy.Verdict) []string {
	var out []string
	for _, f := range v.Findings {
		out = append(out, f.Check)
	}
	return out
}

// TestTable evaluates the policy of every boot on the log of every boot. What
// is to be found is what the recording says has changed.
func TestTable(t *testing.T) {
	t.Parallel()
	for _, of := range boots {
		p := policyOf(t, of)
		a := metaOf(t, of)
		for _, on := range boots {
			v := p.Evaluate(bootLog(t, on), EvaluateOptions{PolicyName: "p.json", LogName: "log"})
			b := metaOf(t, on)
			var want []string
			switch {
			case of == "bios":
				if v.Accepted || v.Findings[0].Check != CheckPolicy {
					t.Errorf("an incomplete policy on %s: %v", on, checks(v))
				}
				continue
			case b.SecureBoot == nil:
				if v.Accepted || v.Findings[0].Check != CheckUnexpected || !slices.Contains(checks(v), CheckSeparator) {
					t.Errorf("%s on a legacy BIOS: %v", of, checks(v))
				}
				continue
			case a.SecureBoot.SecureBoot != b.SecureBoot.SecureBoot:
				if v.Accepted || v.Findings[0].Check != CheckSecureBoot || v.Findings[0].Command[1] != "policy" || v.Findings[0].Command[2] != "create" {
					t.Errorf("%s on %s: %v", of, on, checks(v))
				}
				continue
			}
			if a.BootFiles["initrd"].SHA256 != b.BootFiles["initrd"].SHA256 {
				want = append(want, CheckInitrd)
			}
			if a.CommandLine != b.CommandLine {
				want = append(want, CheckCommandLine)
			}
			if got := checks(v); !slices.Equal(got, want) || v.Accepted != (want == nil) {
				t.Errorf("%s on %s: %v, want %v", of, on, got, want)
			}
			for _, f := range v.Findings {
				if !slices.Equal(f.Command, []string{"keylime_tenant", "policy", "merge", "p.json", "log", "-o", "p.json"}) || f.EventID != "measured_boot.policy_example" || f.Event == nil || f.PCR == nil {
					t.Errorf("%s on %s: %+v", of, on, f)
				}
			}
		}
	}
}

// TestFindingsInWords reads a finding as people do.
func TestFindingsInWords(t *testing.T) {
	t.Parallel()
	v := policyOf(t, "sb-on").Evaluate(bootLog(t, "sb-on-initrd-changed"), EvaluateOptions{})
	f := v.Findings[0]
	initrd := metaOf(t, "sb-on-initrd-changed").BootFiles["initrd"].SHA256
	if *f.PCR != 9 || *f.Event != 49 || f.Found[0] != "sha256 "+initrd || f.Where != `the initrd "/initrd.img-6.1.0-56-amd64"` ||
		!strings.Contains(f.Message, "the policy expects "+metaOf(t, "sb-on").BootFiles["initrd"].SHA256+" (kernels[0].initrd_plain_sha256)") {
		t.Errorf("%+v", f)
	}
	p := policyOf(t, "sb-on")
	p.Kernels[0].Grub = strings.Repeat("ab", 32)
	f = p.Evaluate(bootLog(t, "sb-on"), EvaluateOptions{}).Findings[0]
	if f.Where != "grub, the second boot application" || *f.PCR != 4 || *f.Event != 31 || !slices.Equal(f.Expected, []string{"sha256 " + strings.Repeat("ab", 32)}) {
		t.Errorf("%+v", f)
	}
}

// TestAddKernel: a policy extended for the next boot accepts it, and nothing
// else.
func TestAddKernel(t *testing.T) {
	t.Parallel()
	p := policyOf(t, "sb-on")
	changed := metaOf(t, "sb-on-initrd-changed")
	next, notes, err := AddKernel(p, KernelParts{Initrd: "0x" + strings.ToUpper(changed.BootFiles["initrd"].SHA256)})
	if err != nil {
		t.Fatal(err)
	}
	if len(notes) != 1 || !strings.HasPrefix(notes[0], "taken from kernels[0]: shim, grub, kernel, command line") {
		t.Errorf("%q", notes)
	}
	for boot, want := range map[string]bool{"sb-on": true, "sb-on-initrd-changed": true, "sb-on-cmdline-changed": false, "sb-off": false} {
		if v := next.Evaluate(bootLog(t, boot), EvaluateOptions{}); v.Accepted != want {
			t.Errorf("%s: accepted %v, %v", boot, v.Accepted, checks(v))
		}
	}
	if len(p.Kernels) != 1 || len(next.Kernels) != 2 {
		t.Errorf("%d and %d kernels", len(p.Kernels), len(next.Kernels))
	}
	again, notes, err := AddKernel(next, KernelParts{Initrd: changed.BootFiles["initrd"].SHA256})
	if err != nil || len(again.Kernels) != 2 || notes[0] != "the policy allows this boot chain already" {
		t.Errorf("%d kernels, %q, %v", len(again.Kernels), notes, err)
	}
	// The command line as /proc/cmdline shows it.
	other, _, err := AddKernel(p, KernelParts{CommandLine: metaOf(t, "sb-on-cmdline-changed").CommandLine})
	if err != nil || !other.Evaluate(bootLog(t, "sb-on-cmdline-changed"), EvaluateOptions{}).Accepted {
		t.Errorf("%v", err)
	}
	// All parts at once, for a machine without Secure Boot.
	off, files := policyOf(t, "sb-off"), metaOf(t, "sb-off").BootFiles
	spoiled := off.Clone()
	spoiled.Kernels[0] = Kernel{Shim: "00", Grub: "00", Initrd: "00", Vmlinuz: "00", CommandLine: "x"}
	off, _, err = AddKernel(spoiled, KernelParts{Shim: files["shim"].Authenticode, Grub: files["grub"].Authenticode, Vmlinuz: files["vmlinuz"].SHA256,
		Initrd: files["initrd"].SHA256, CommandLinePattern: `/vmlinuz-6\.1\.0-\d+-amd64 .*`})
	if err != nil || !off.Evaluate(bootLog(t, "sb-off"), EvaluateOptions{}).Accepted {
		t.Errorf("%v", err)
	}
}

// TestComparePCRs: each recorded log is that of its own boot, and of no other
// boot whose files differ.
func TestComparePCRs(t *testing.T) {
	t.Parallel()
	quoted := func(boot, bank string) map[int][]byte {
		pcrs := map[int][]byte{}
		for _, line := range strings.Split(strings.TrimSpace(string(readFile(t, "evidence", boot, "pcrs.txt"))), "\n") {
			if f := strings.Fields(line); f[0] == bank {
				n, err := strconv.Atoi(f[1])
				if err != nil {
					t.Fatal(err)
				}
				if pcrs[n], err = hex.DecodeString(f[2]); err != nil {
					t.Fatal(err)
				}
			}
		}
		return pcrs
	}
	for _, boot := range boots {
		for _, bank := range []string{"sha1", "sha256", "sha384"} {
			if f := ComparePCRs(bootLog(t, boot), bank, quoted(boot, bank)); f != nil {
				t.Errorf("%s, %s: %+v", boot, bank, f)
			}
		}
	}
	f := ComparePCRs(bootLog(t, "sb-on"), "sha256", quoted("sb-on-initrd-changed", "sha256"))
	if len(f) != 1 || f[0].Check != CheckPCR || f[0].EventID != "measured_boot.invalid_pcr_9" || *f[0].PCR != 9 {
		t.Errorf("%+v", f)
	}
	f = ComparePCRs(bootLog(t, "sb-on"), "sha512", nil)
	if len(f) != 1 || f[0].Check != CheckBank || f[0].EventID != "measured_boot.parser.invalid_pcrs_hashes" {
		t.Errorf("%+v", f)
	}
	// A PCR that the log never extends counts as zero.
	pcrs := quoted("bios", "sha256")
	pcrs[14] = append(make([]byte, 31), 1)
	f = ComparePCRs(bootLog(t, "bios"), "sha256", pcrs)
	if len(f) != 1 || *f[0].PCR != 14 || !strings.Contains(f[0].Message, "extends it never") || f[0].Expected[0] != strings.Repeat("0", 64) {
		t.Errorf("%+v", f)
	}
	if m := MissingPCRs(pcrs); m != nil {
		t.Errorf("%+v", m)
	}
	delete(pcrs, 3)
	if m := MissingPCRs(pcrs); m == nil || m.Check != CheckMissingPCRs || m.Expected[0] != "3" || m.EventID != "measured_boot.missing_pcrs" {
		t.Errorf("%+v", m)
	}
}

func BenchmarkEvaluate(b *testing.B) {
	l, p := bootLog(b, "uefi"), policyOf(b, "uefi")
	b.ReportAllocs()
	for b.Loop() {
		if len(p.Evaluate(l, EvaluateOptions{}).Findings) == 0 {
			b.Fatal("accepted")
		}
	}
}

func BenchmarkEvaluateAccepted(b *testing.B) {
	l, p := bootLog(b, "sb-on"), policyOf(b, "sb-on")
	b.ReportAllocs()
	for b.Loop() {
		if !p.Evaluate(l, EvaluateOptions{}).Accepted {
			b.Fatal("refused")
		}
	}
}

func BenchmarkParsePolicy(b *testing.B) {
	text := policyOf(b, "uefi").Marshal()
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, err := Parse(text); err != nil {
			b.Fatal(err)
		}
	}
}
