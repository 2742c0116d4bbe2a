package measuredboot

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/keylime/keylime-tenant/policy/pyre"
)

const smallPolicy = `{"has_secureboot": true, "scrtm_and_bios": [{"scrtm": {"sha256": "0x01"}, "platform_firmware": [{"sha256": "0x02"}]}], ` +
	`"pk": [{"SignatureOwner": "o", "SignatureData": "0x03"}], "kek": [], "db": [], "dbx": [], "vendor_db": [], "mokdig": [{"sha1": "0x04", "sha256": "0x05"}], "mokxdig": [], ` +
	`"kernels": [{"kernel_authcode_sha256": "0x06", "shim_authcode_sha256": "0x07", "grub_authcode_sha256": "0x08", "initrd_plain_sha256": "0x09", "kernel_cmdline": "a\\ \u00e9\ud83d\ude00"}]}`

// TestParseMarshal: what was parsed is written back, in upstream's form.
func TestParseMarshal(t *testing.T) {
	t.Parallel()
	texts := []string{smallPolicy, "{}"}
	for _, boot := range boots[:6] {
		texts = append(texts, string(policyOf(t, boot).Marshal()))
	}
	for _, text := range texts {
		p, err := Parse([]byte(text))
		if err != nil {
			t.Fatalf("%v in %.100s", err, text)
		}
		if got := string(p.Marshal()); got != text {
			t.Errorf("got  %.500s\nwant %.500s", got, text)
		}
		if c := p.Clone(); !reflect.DeepEqual(c, p) {
			t.Error("a clone is another")
		}
	}
	p, _ := Parse([]byte(smallPolicy))
	if p.Kernels[0].CommandLine != `a\ é😀` || p.MokDig[0]["sha1"] != "04" || p.PK[0].Data != "03" {
		t.Errorf("%+v", p)
	}
}

// TestParseFaults spoils one thing at a time; a verifier fails on each
// whatever the log.
func TestParseFaults(t *testing.T) {
	t.Parallel()
	change := func(old, new string) string {
		if !strings.Contains(smallPolicy, old) {
			t.Fatal(old)
		}
		return strings.Replace(smallPolicy, old, new, 1)
	}
	for _, c := range []struct {
		name, text, path, cause string
	}{
		{"not JSON", `{"kernels": [}`, "", "not JSON"},
		{"cut", `{"kernels": [`, "", "ends too early"},
		{"more text", smallPolicy + "x", "", "not JSON"},
		{"a second document", smallPolicy + "{}", "", "more text after the end"},
		{"deep", strings.Repeat("[", 50) + strings.Repeat("]", 50), "", "nested deeper"},
		{"not UTF-8", "{\"\xff\": 1}", "", "UTF-8"},
		{"large", `"` + strings.Repeat("x", maxPolicy) + `"`, "", "larger than 16 MiB"},
		{"a list", "[1]", "", "it is a list, not an object"},
		{"a text", `"x"`, "", "it is a text"},
		{"no kernels", change(`"kernels"`, `"k"`), "kernels", "missing"},
		{"kernels", change(`"kernels": [`, `"kernels": 1, "k": [`), "kernels", "it is the number 1, not a list"},
		{"kernel", change(`"kernels": [`, `"kernels": [true, `), "kernels[0]", "it is true, not an object"},
		{"no shim", change(`"shim_authcode_sha256"`, `"s"`), "kernels[0].shim_authcode_sha256", "missing"},
		{"no kernel digest", change(`"kernel_authcode_sha256"`, `"s"`), "kernels[0].kernel_authcode_sha256", "missing"},
		{"no vmlinuz", change(`"has_secureboot": true`, `"has_secureboot": false`), "kernels[0].vmlinuz_plain_sha256", "missing"},
		{"digest without 0x", change(`"0x07"`, `"07"`), "kernels[0].shim_authcode_sha256", `"07" is not 0x`},
		{"digest in upper case", change(`"0x07"`, `"0xAB"`), "kernels[0].shim_authcode_sha256", `"0xAB" is not 0x`},
		{"digest empty", change(`"0x07"`, `"0x"`), "kernels[0].shim_authcode_sha256", "is not 0x"},
		{"digest a number", change(`"0x07"`, `7`), "kernels[0].shim_authcode_sha256", "not a text"},
		{"no command line", change(`"kernel_cmdline"`, `"s"`), "kernels[0].kernel_cmdline", "missing"},
		{"command line null", change(`"kernel_cmdline": "`, `"kernel_cmdline": null, "s": "`), "kernels[0].kernel_cmdline", "it is null"},
		{"pattern", change(`"kernel_cmdline": "a`, `"kernel_cmdline": "(a`), "kernels[0].kernel_cmdline", "missing ), unterminated subpattern"},
		{"no firmware", change(`"scrtm_and_bios"`, `"s"`), "scrtm_and_bios", "missing"},
		{"firmware null", change(`"scrtm_and_bios": [`, `"scrtm_and_bios": null, "s": [`), "scrtm_and_bios", "it is null"},
		{"no scrtm", change(`"scrtm":`, `"s":`), "scrtm_and_bios[0].scrtm", "missing"},
		{"scrtm digest", change(`"0x01"`, `"x"`), "scrtm_and_bios[0].scrtm.sha256", "is not 0x"},
		{"no volumes", change(`"platform_firmware"`, `"p"`), "scrtm_and_bios[0].platform_firmware", "missing"},
		{"volume", change(`{"sha256": "0x02"}`, `"0x02"`), "scrtm_and_bios[0].platform_firmware[0]", "not an object"},
		{"no pk", change(`"pk"`, `"p"`), "pk", "missing"},
		{"no kek", change(`"kek"`, `"p"`), "kek", "missing"},
		{"no db", change(`"db"`, `"p"`), "db", "missing"},
		{"no dbx", change(`"dbx"`, `"p"`), "dbx", "missing"},
		{"no mokdig", change(`"mokdig"`, `"p"`), "mokdig", "missing"},
		{"no mokxdig", change(`"mokxdig"`, `"p"`), "mokxdig", "missing"},
		{"pk null", change(`"pk": [`, `"pk": null, "p": [`), "pk", "it is null"},
		{"kek a number", change(`"kek": []`, `"kek": 0`), "kek", "it is the number 0"},
		{"key", change(`"pk": [`, `"pk": ["x", `), "pk[0]", "not an object"},
		{"no owner", change(`"SignatureOwner"`, `"s"`), "pk[0].SignatureOwner", "missing"},
		{"owner", change(`"SignatureOwner": "o"`, `"SignatureOwner": 1`), "pk[0].SignatureOwner", "not a text"},
		{"no data", change(`"SignatureData"`, `"s"`), "pk[0].SignatureData", "missing"},
		{"data", change(`"0x03"`, `"03"`), "pk[0].SignatureData", "does not begin with 0x"},
		{"mokdig an object", change(`"mokdig": [`, `"mokdig": {}, "m": [`), "mokdig", "it is an object, not a list"},
		{"mok digest", change(`"0x04"`, `"4"`), "mokdig[0].sha1", "is not 0x"},
	} {
		p, err := Parse([]byte(c.text))
		var e *ParseError
		if p != nil || !errors.As(err, &e) || e.Path != c.path || !strings.Contains(err.Error(), c.cause) {
			t.Errorf("%s: %v; want %s: %s", c.name, err, c.path, c.cause)
		}
	}
	_, err := Parse([]byte("{\n\"a\": 1,\n}"))
	var e *ParseError
	if !errors.As(err, &e) || e.Line != 3 {
		t.Errorf("%+v", err)
	}
	var re *pyre.Error
	if _, err = Parse([]byte(change(`"kernel_cmdline": "a`, `"kernel_cmdline": "(a`))); !errors.As(err, &re) {
		t.Errorf("%v", err)
	}
}

// TestParseOdd: what a verifier takes is taken, with a warning where nobody
// can mean it.
func TestParseOdd(t *testing.T) {
	t.Parallel()
	digest := strings.Repeat("ab", 32)
	good := strings.NewReplacer("0x06", "0x"+digest, "0x07", "0x"+digest, "0x08", "0x"+digest, "0x09", "0x"+digest).Replace(smallPolicy)
	off := strings.NewReplacer(`"has_secureboot": true`, `"has_secureboot": false`, "kernel_authcode", "vmlinuz_plain").Replace(good)
	for _, c := range []struct {
		name, text, warning string
		check               func(*Policy) bool
	}{
		{"good", good, "", func(p *Policy) bool { return p.HasSecureBoot }},
		{"off", off, "", func(p *Policy) bool {
			return !p.HasSecureBoot && p.Kernels[0].Vmlinuz == digest && p.Kernels[0].Kernel == ""
		}},
		{"has_secureboot missing", strings.Replace(good, `"has_secureboot": true, `, "", 1), "", func(p *Policy) bool { return p.HasSecureBoot }},
		{"has_secureboot a text", strings.Replace(good, `"has_secureboot": true`, `"has_secureboot": "false"`, 1), "has_secureboot is a text; a verifier takes it for true", func(p *Policy) bool { return p.HasSecureBoot }},
		{"has_secureboot 0.0", strings.Replace(off, `"has_secureboot": false`, `"has_secureboot": 0.0`, 1), "takes it for false", func(p *Policy) bool { return !p.HasSecureBoot }},
		{"vendor_db missing", strings.Replace(good, `"vendor_db": [], `, "", 1), "", func(p *Policy) bool { return p.VendorDB == nil }},
		{"kek an object", strings.Replace(good, `"kek": []`, `"kek": {}`, 1), "kek is an object; a verifier takes it for an empty list", func(p *Policy) bool { return p.KEK == nil }},
		{"kek null, off", strings.Replace(off, `"kek": []`, `"kek": null`, 1), "kek is null", func(p *Policy) bool { return p.KEK == nil }},
		{"key unread", strings.Replace(good, `"kek"`, `"kekk": 1, "kek"`, 1), "nobody reads kekk", func(p *Policy) bool { return strings.HasSuffix(string(p.Marshal()), `, "kekk": 1}`) }},
		{"key unread in a kernel", strings.Replace(good, `"shim_auth`, `"note": {"a": [null, 1.50]}, "shim_auth`, 1), "nobody reads kernels[0].note", func(p *Policy) bool {
			return strings.Contains(string(p.Marshal()), `"note": {"a": [null, 1.50]}}`)
		}},
		{"key twice", strings.Replace(good, `"kek": []`, `"kek": 1, "kek": []`, 1), "kek comes twice", func(p *Policy) bool { return p.KEK == nil }},
		{"digest short", strings.Replace(good, digest, "ab", 1), "has 2 digits, where a sha256 digest has 64", func(p *Policy) bool { return true }},
		{"data in upper case", strings.Replace(good, `"0x03"`, `"0xAB"`, 1), "pk[0].SignatureData is not lower-case", func(p *Policy) bool { return p.PK[0].Data == "AB" }},
		{"no kernel", good[:strings.Index(good, `"kernels"`)] + `"kernels": []}`, "kernels is empty", func(p *Policy) bool { return true }},
		{"other kind's digest", strings.Replace(good, `"shim_auth`, `"vmlinuz_plain_sha256": "0x01", "shim_auth`, 1), "", func(p *Policy) bool { return p.Kernels[0].Vmlinuz == "01" }},
		{"other kind's digest is none", strings.Replace(good, `"shim_auth`, `"vmlinuz_plain_sha256": 1, "shim_auth`, 1), "nobody reads kernels[0].vmlinuz_plain_sha256", func(p *Policy) bool { return p.Kernels[0].Vmlinuz == "" }},
	} {
		p, err := Parse([]byte(c.text))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		warnings := strings.Join(p.Warnings(), "; ")
		if c.warning == "" && warnings != "" || !strings.Contains(warnings, c.warning) || !c.check(p) {
			t.Errorf("%s: warnings %q, %+v", c.name, warnings, p)
		}
	}
}

func TestIsEmpty(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{"": true, "{}": true, "[]": true, "null": true, `""`: true, "0": true, "-0.0": true, "false": true, " {\n} ": true,
		"1": false, "true": false, `"x"`: false, "[0]": false, `{"a": 1}`: false, "{": false, "x": false} {
		if got := IsEmpty([]byte(text)); got != want {
			t.Errorf("%q: %v", text, got)
		}
		p, err := Parse([]byte(text))
		if want != (err == nil && p.IsEmpty()) {
			t.Errorf("%q: %+v, %v", text, p, err)
		}
		if want {
			if v := p.Evaluate(bootLog(t, "bios"), EvaluateOptions{}); !v.Accepted || len(v.Warnings) != 1 {
				t.Errorf("%q: %+v", text, v)
			}
		}
	}
}

func FuzzEvaluate(f *testing.F) {
	for _, boot := range boots[:6] {
		raw := readFile(f, "evidence", boot, "binary_bios_measurements")
		f.Add(policyOf(f, boot).Marshal(), raw)
	}
	f.Add([]byte(smallPolicy), readFile(f, "vectors/uefi_log.bin"))
	f.Fuzz(func(t *testing.T, text, raw []byte) { fuzzOne(t, text, raw) })
}

func FuzzParsePolicy(f *testing.F) {
	log := readFile(f, "evidence/sb-on/binary_bios_measurements")
	f.Add([]byte(smallPolicy))
	for _, boot := range boots[:6] {
		f.Add(policyOf(f, boot).Marshal())
	}
	f.Fuzz(func(t *testing.T, text []byte) { fuzzOne(t, text, log) })
}
