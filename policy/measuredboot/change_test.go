package measuredboot

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/keylime/keylime-tenant/policy/authenticode"
	"github.com/keylime/keylime-tenant/policy/eventlog"
)

// fuzzOne does everything with a policy and a log that may be hostile.
func fuzzOne(t *testing.T, text, raw []byte) {
	p, err := Parse(text)
	if err != nil {
		var e *ParseError
		if p != nil || !errors.As(err, &e) {
			t.Fatalf("%v, %v", p, err)
		}
	}
	l, err := eventlog.Parse(raw)
	if err != nil {
		return
	}
	if p != nil {
		again, err := Parse(p.Marshal())
		if err != nil || !bytes.Equal(again.Marshal(), p.Marshal()) {
			t.Fatalf("%v: %s became %s", err, text, p.Marshal())
		}
		v := p.Evaluate(l, EvaluateOptions{})
		if v.Accepted != (len(v.Findings) == 0) {
			t.Fatalf("%+v", v)
		}
		if merged, err := Merge(p, l); err == nil && !merged.Evaluate(l, EvaluateOptions{}).Accepted {
			t.Fatal("a merged policy refuses its log")
		}
		Explain(p)
	}
	for _, partial := range []bool{false, true} {
		made, err := Create(l, CreateOptions{WithoutSecureBoot: true, AllowPartial: partial})
		if err != nil {
			continue
		}
		if d := Diff(made, made.Clone()); d != nil {
			t.Fatalf("%+v", d)
		}
		if !partial {
			if _, err := Parse(made.Marshal()); err != nil {
				t.Fatalf("%v in %s", err, made.Marshal())
			}
		}
	}
}

// TestCreateRefuses: logs that give no complete policy, with what was seen.
func TestCreateRefuses(t *testing.T) {
	t.Parallel()
	var off *SecureBootError
	if _, err := Create(bootLog(t, "sb-off"), CreateOptions{}); !errors.As(err, &off) || !off.Known {
		t.Errorf("%v", err)
	}
	if _, err := Create(bootLog(t, "bios"), CreateOptions{}); !errors.As(err, &off) || off.Known || !strings.Contains(err.Error(), "legacy BIOS") {
		t.Errorf("%v", err)
	}
	if p, err := Create(bootLog(t, "sb-on"), CreateOptions{WithoutSecureBoot: true}); err != nil || !p.HasSecureBoot {
		t.Errorf("%v", err)
	}
	// A complete policy, although no policy accepts this log.
	p, err := Create(bootLog(t, "uefi"), CreateOptions{WithoutSecureBoot: true})
	if err != nil || len(p.DBX) != 482 || len(p.Kernels) != 1 || p.Evaluate(bootLog(t, "uefi"), EvaluateOptions{}).Accepted {
		t.Errorf("%v", err)
	}
	const kernels = "the allowed kernels (kernels)"
	for _, c := range []struct {
		name, boot string
		log        func(editor)
		part, seen string
	}{
		{"legacy BIOS", "bios", nil, kernels, "0 boot applications, where without Secure Boot 2 are expected (shim, GRUB): none"},
		{"no version", "sb-on", func(e editor) { e.drop(e.at(0, eventlog.SCRTMVersion, "")) }, "the firmware's version (scrtm_and_bios[0].scrtm)", "no event of type EV_S_CRTM_VERSION"},
		{"two applications", "sb-on", func(e editor) { e.log.Events = slices.Delete(slices.Clone(e.log.Events), 44, 46) }, kernels, "2 boot applications, where with Secure Boot 3 or 4 are expected (shim, GRUB, kernel, and the kernel again): application PciRoot(0x0)"},
		{"no initrd", "sb-on", func(e editor) { e.drop(e.at(9, eventlog.IPL, "initrd")) }, "the initrd's digest (kernels[0].initrd_plain_sha256)", `among the files that GRUB read is none: "(hd0,gpt1)/EFI/debian/grub.cfg", "/vmlinuz-6.1.0-56-amd64"`},
		{"no kernel file", "sb-off", func(e editor) { e.drop(e.at(9, eventlog.IPL, "vmlinuz")) }, "the kernel's digest (kernels[0].vmlinuz_plain_sha256)", "among the files"},
		{"no file", "sb-on", func(e editor) {
			e.log.Events = slices.DeleteFunc(slices.Clone(e.log.Events), func(x eventlog.Event) bool { return x.PCR == 9 })
		}, "the initrd's digest (kernels[0].initrd_plain_sha256)", "GRUB read no file"},
		{"no command line", "sb-on", func(e editor) { e.drop(e.at(8, eventlog.IPL, "kernel_cmdline")) }, "the kernel command line (kernels[0].kernel_cmdline)", "no event in PCR 8"},
		{"keys cut", "sb-on", func(e editor) {
			e.log.Events[6].Data = variable(global, "KEK", list(eventlog.SignatureX509, entry(1))[:30])
		}, "the keys of KEK (kek)", "event 6 holds signature lists that contradict themselves"},
		{"digest missing", "sb-on", func(e editor) { e.at(9, eventlog.IPL, "initrd").Digests = nil }, "the initrd's digest (kernels[0].initrd_plain_sha256)", "event 49 has no sha256 digest"},
	} {
		l := bootLog(t, c.boot)
		if c.log != nil {
			c.log(editor{t, l})
		}
		_, err := Create(l, CreateOptions{WithoutSecureBoot: true})
		var e *IncompleteError
		if !errors.As(err, &e) || !slices.ContainsFunc(e.Lacks, func(k Lack) bool { return k.Part == c.part && strings.HasPrefix(k.Seen, c.seen) }) {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		p, err := Create(l, CreateOptions{WithoutSecureBoot: true, AllowPartial: true})
		if err != nil || !slices.Contains(p.Lacks(), c.part) {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if v := p.Evaluate(l, EvaluateOptions{}); v.Accepted || !slices.Contains(checks(v), CheckPolicy) || Explain(p).Warnings == nil {
			t.Errorf("%s: an incomplete policy gives %v", c.name, checks(v))
		}
	}
	uki := bootLog(t, "sb-on")
	e := editor{t, uki}
	uki.Events = slices.Delete(slices.Clone(uki.Events), 31, 50)
	e.add(11, eventlog.IPL, []byte(".linux\x00"), nil)
	if _, err := Create(uki, CreateOptions{}); err == nil || !strings.Contains(err.Error(), "unified kernel image") {
		t.Errorf("%v", err)
	}
	noBank := bootLog(t, "sb-on")
	noBank.Banks = []string{"sha1"}
	var incomplete *IncompleteError
	if _, err := Create(noBank, CreateOptions{AllowPartial: true}); !errors.As(err, &incomplete) || !strings.Contains(err.Error(), "the log has only sha1") {
		t.Errorf("%v", err)
	}
}

// TestCreateDetails: applications of the firmware are left out, vendor_db is
// read, an unsteady command line is told.
func TestCreateDetails(t *testing.T) {
	t.Parallel()
	l := bootLog(t, "sb-on")
	e := editor{t, l}
	menu := append(make([]byte, 24), 44, 0, 0, 0, 0, 0, 0, 0)
	menu = append(menu, 4, 7, 20, 0)
	menu = append(menu, guid(global)...)
	menu = append(menu, 4, 6, 20, 0)
	menu = append(menu, guid(security)...)
	e.add(4, eventlog.BootServicesApplication, append(menu, 0x7f, 0xff, 4, 0), nil)
	e.add(7, eventlog.VariableAuthority, variable(security, "vendor_db", entry(0x30, 0x82, 0, 0)), nil)
	e.at(8, eventlog.IPL, "kernel_cmdline").Data = []byte("kernel_cmdline: a\\040b\x00")
	p, err := Create(l, CreateOptions{})
	if err != nil || len(p.Kernels) != 1 || len(p.VendorDB) != 1 || p.VendorDB[0].Data != "30820000" || len(p.Warnings()) != 1 {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestMerge(t *testing.T) {
	t.Parallel()
	p := policyOf(t, "sb-on")
	merged, err := Merge(p, bootLog(t, "sb-on-reboot"), bootLog(t, "sb-on-initrd-changed"), bootLog(t, "sb-on-cmdline-changed"), bootLog(t, "sb-on-initrd-changed"))
	if err != nil || len(merged.Kernels) != 3 || len(p.Kernels) != 1 {
		t.Fatalf("%d kernels, %v", len(merged.Kernels), err)
	}
	for _, boot := range boots[:5] {
		if v := merged.Evaluate(bootLog(t, boot), EvaluateOptions{}); !v.Accepted {
			t.Errorf("%s: %v", boot, checks(v))
		}
	}
	same, err := Merge(p, bootLog(t, "sb-on-ima-violation"))
	if err != nil || !reflect.DeepEqual(same, p) {
		t.Errorf("merging an accepted boot changed the policy: %+v", Diff(p, same))
	}

	// Everything else that can differ.
	for name, spoil := range map[string]func(*Policy){
		"PK":       func(p *Policy) { p.PK = nil },
		"KEK":      func(p *Policy) { p.KEK = p.KEK[:1] },
		"db":       func(p *Policy) { p.DB = nil },
		"dbx":      func(p *Policy) { p.DBX = append(p.DBX, Key{"x", "00"}) },
		"MokList":  func(p *Policy) { p.MokDig = nil },
		"MokListX": func(p *Policy) { p.MokXDig = []Digests{{"sha256": "00"}} },
		"firmware": func(p *Policy) { p.Firmware[0].Blobs = p.Firmware[0].Blobs[:1] },
		"kernels":  func(p *Policy) { p.Kernels = []Kernel{} },
	} {
		q := policyOf(t, "sb-on")
		spoil(q)
		got, err := Merge(q, bootLog(t, "sb-on"))
		if err != nil || !got.Evaluate(bootLog(t, "sb-on"), EvaluateOptions{}).Accepted {
			t.Errorf("%s: %v", name, err)
			continue
		}
		changes := Diff(q, got)
		if len(changes) != 1 || changes[0].Weaker != (name == "dbx") {
			t.Errorf("%s: %+v", name, changes)
		}
	}
	off := policyOf(t, "sb-off")
	off.PK = []Key{{"x", "00"}}
	if got, err := Merge(off, bootLog(t, "sb-off")); err != nil || got.PK != nil || !Diff(off, got)[0].Weaker {
		t.Errorf("%v", err)
	}

	for name, c := range map[string]struct{ p, log, text string }{
		"Secure Boot off":            {"sb-on", "sb-off", "log 1 cannot be accepted as well: it was made with Secure Boot off"},
		"Secure Boot on":             {"sb-off", "sb-on", "it was made with Secure Boot on"},
		"legacy BIOS":                {"sb-off", "bios", "it gives no entry for a policy: the log gives no complete policy"},
		"events that no policy has":  {"sb-off", "uefi", "no policy of this kind accepts it; an event of type EV_POST_CODE is not expected in PCR 0"},
		"and more than three things": {"sb-off", "uefi", "; and 4 more"},
	} {
		var e *MergeError
		if _, err := Merge(policyOf(t, c.p), bootLog(t, c.log)); !errors.As(err, &e) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDiff(t *testing.T) {
	t.Parallel()
	var messages []string
	collect := func(list []Change) string {
		messages = nil
		for _, c := range list {
			messages = append(messages, c.Message)
		}
		return strings.Join(messages, " | ")
	}
	if got := collect(Diff(policyOf(t, "sb-on"), policyOf(t, "sb-on-cmdline-changed"))); !strings.HasPrefix(got, `the kernel command line is another: "/vmlinuz-6.1.0-56-amd64 root=`) || !strings.Contains(got, `mitigations=off" instead of "/vmlinuz`) || len(messages) != 1 {
		t.Errorf("%s", got)
	}
	if got := collect(Diff(policyOf(t, "sb-on"), policyOf(t, "sb-on-initrd-changed"))); !strings.HasPrefix(got, "the initrd is another: sha256 945993448e") || len(messages) != 1 {
		t.Errorf("%s", got)
	}
	changes := Diff(policyOf(t, "sb-on"), policyOf(t, "sb-off"))
	if got := collect(changes); !changes[0].Weaker || !strings.HasPrefix(got, "Secure Boot must be off instead of on | the firmware is another: volume 1 | PK, the platform's owner: anything is allowed now") {
		t.Errorf("%s", got)
	}
	if got := collect(Diff(policyOf(t, "sb-off"), policyOf(t, "sb-on"))); !strings.Contains(got, "PK, the platform's owner: 1 key allowed in addition") {
		t.Errorf("%s", got)
	}
	a, b := policyOf(t, "sb-on"), policyOf(t, "sb-on")
	b.Kernels = append(b.Kernels, Kernel{CommandLine: "x"})
	b.Firmware[0].SCRTM = Digests{"sha256": "00"}
	b.Firmware[0].Blobs[1] = Digests{"sha256": "00"}
	b.DB = b.DB[1:]
	b.DBX = append(b.DBX, Key{"x", "00"})
	want := `the firmware is another: version, volume 2 | db, who may sign what boots: 1 key allowed no longer | dbx, the revocations demanded: 1 revocation demanded in addition | the boot chain with the command line "x" is allowed in addition`
	if got := collect(Diff(a, b)); got != want {
		t.Errorf("%s", got)
	}
	if got := collect(Diff(b, a)); !strings.HasSuffix(got, `| dbx, the revocations demanded: 1 revocation demanded no longer | the boot chain with the command line "x" is allowed no longer`) {
		t.Errorf("%s", got)
	}
	empty, _ := Parse(nil)
	if c := Diff(a, empty); len(c) != 1 || !c[0].Weaker {
		t.Errorf("%+v", c)
	}
	if c := Diff(empty, a); len(c) != 1 || c[0].Weaker {
		t.Errorf("%+v", c)
	}
}

func TestExplain(t *testing.T) {
	t.Parallel()
	x := Explain(policyOf(t, "sb-on"))
	text := strings.Join(x.Demands, "\n")
	for _, want := range []string{"Secure Boot is on", `PK holds none but: "Debian UEFI Secure Boot (PK/KEK key)"`, `"Microsoft Corporation UEFI CA 2011"`, "at least 1 revocations", "boot chain 1 of 1 allowed: shim sha256 80a66d53", `the kernel command line "/vmlinuz-6.1.0-56-amd64 root=PARTUUID=`} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	p := policyOf(t, "sb-off")
	p.Kernels[0].CommandLine = ".*"
	x = Explain(p)
	if text = strings.Join(x.Open, "\n"); !strings.Contains(text, "boot chain 1 allows every command line that matches the pattern .*") || !strings.Contains(text, "the keys of PK: any") || !strings.Contains(text, "dbx may be anything") {
		t.Errorf("%s", text)
	}
	on := policyOf(t, "sb-on")
	on.KEK, on.DBX = nil, nil
	if x = Explain(on); !slices.Contains(x.Warnings, "KEK is empty: every boot that measures it is refused") || !slices.Contains(x.Open, "revocations: none is demanded") {
		t.Errorf("%+v", x)
	}
	empty, _ := Parse([]byte("{}"))
	if x = Explain(empty); len(x.Open) != 1 {
		t.Errorf("%+v", x)
	}
}

// TestParts: files are hashed as firmware and GRUB measure them.
func TestParts(t *testing.T) {
	t.Parallel()
	file := func(s string) *io.SectionReader { return io.NewSectionReader(strings.NewReader(s), 0, int64(len(s))) }
	k, err := KernelFiles{Initrd: file("abc")}.Parts()
	if err != nil || k.Initrd != "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" || k.Kernel != "" {
		t.Errorf("%+v, %v", k, err)
	}
	image := make([]byte, 0x400)
	copy(image, "MZ")
	image[0x3c] = 0x40
	copy(image[0x40:], "PE\x00\x00")
	image[0x40+20], image[0x40+24], image[0x40+25], image[0x40+24+61] = 112, 0x0b, 0x02, 0x02
	k, err = KernelFiles{Kernel: file(string(image)), Shim: file(string(image)), Grub: file(string(image))}.Parts()
	if err != nil || len(k.Kernel) != 64 || len(k.Vmlinuz) != 64 || k.Kernel == k.Vmlinuz || k.Shim != k.Kernel || k.Grub != k.Kernel {
		t.Errorf("%+v, %v", k, err)
	}
	var part *PartError
	var not *authenticode.Error
	if _, err := (KernelFiles{Grub: file("no image")}).Parts(); !errors.As(err, &part) || part.Part != "grub" || !errors.As(err, &not) {
		t.Errorf("%v", err)
	}
	if _, err := (KernelFiles{Initrd: io.NewSectionReader(strings.NewReader(""), -1, 5)}).Parts(); !errors.As(err, &part) || part.Part != "initrd" {
		t.Errorf("%v", err)
	}
}

func TestAddKernelRefuses(t *testing.T) {
	t.Parallel()
	p := policyOf(t, "sb-on")
	digest := strings.Repeat("ab", 32)
	for _, c := range []struct {
		p     *Policy
		parts KernelParts
		part  string
	}{
		{p, KernelParts{}, "kernel"},
		{p, KernelParts{Vmlinuz: digest}, "kernel"}, // not read with Secure Boot
		{p, KernelParts{Shim: "ab"}, "shim"},
		{p, KernelParts{Initrd: digest[:63] + "x"}, "initrd"},
		{p, KernelParts{CommandLine: "a", CommandLinePattern: "b"}, "command line"},
		{p, KernelParts{CommandLine: "a\nb"}, "command line"},
		{p, KernelParts{CommandLinePattern: "("}, "command line"},
		{&Policy{}, KernelParts{Initrd: digest}, "policy"},
	} {
		var e *PartError
		if _, _, err := AddKernel(c.p, c.parts); !errors.As(err, &e) || e.Part != c.part {
			t.Errorf("%+v: %v", c.parts, err)
		}
	}
	_, notes, err := AddKernel(p, KernelParts{Kernel: digest})
	if err != nil || len(notes) != 2 || !strings.Contains(notes[1], "give the command line too") {
		t.Errorf("%q, %v", notes, err)
	}
}

// TestUnite: the union of two policies accepts what both accept, and demands a
// revocation only if both do.
func TestUnite(t *testing.T) {
	t.Parallel()
	key := func(data string) Key { return Key{Owner: "o", Data: data} }
	policyOf := func(secure bool, db, dbx, kernel string) *Policy {
		p := &Policy{HasSecureBoot: secure, Kernels: []Kernel{{Kernel: kernel}},
			Firmware: []Firmware{{SCRTM: Digests{"sha256": "00"}}}, MokDig: []Digests{{"sha256": kernel}}}
		for _, one := range strings.Fields(db) {
			p.DB = append(p.DB, key(one))
		}
		for _, one := range strings.Fields(dbx) {
			p.DBX = append(p.DBX, key(one))
		}
		return p
	}
	got, ok := Unite(policyOf(true, "a", "x y", "k1"), policyOf(true, "a b", "y z", "k2"))
	if !ok || len(got.DB) != 2 || len(got.DBX) != 1 || got.DBX[0] != key("y") || len(got.Kernels) != 2 || len(got.Firmware) != 1 || len(got.MokDig) != 2 {
		t.Errorf("%v %+v", ok, got)
	}
	if got, ok = Unite(policyOf(false, "", "", "k1"), policyOf(false, "a", "x", "k1")); !ok || got.DB != nil || len(got.DBX) != 0 || len(got.Kernels) != 1 {
		t.Errorf("without Secure Boot: %v %+v", ok, got)
	}
	if _, ok = Unite(policyOf(false, "", "", ""), policyOf(true, "", "", "")); ok {
		t.Error("Secure Boot on and off are merged")
	}
}

// TestUniteBoots: of any two policies made of recorded boots, the union accepts
// both boots, and changes neither policy.
func TestUniteBoots(t *testing.T) {
	t.Parallel()
	boots := []string{"sb-on", "sb-off", "sb-on-cmdline-changed", "sb-on-initrd-changed", "sb-on-reboot"}
	policies := map[string]*Policy{}
	for _, boot := range boots {
		p, err := Create(bootLog(t, boot), CreateOptions{WithoutSecureBoot: true})
		if err != nil {
			t.Fatal(err)
		}
		policies[boot] = p
	}
	for _, a := range boots {
		for _, b := range boots {
			p, q := policies[a], policies[b]
			before, other := p.Marshal(), q.Marshal()
			united, ok := Unite(p, q)
			if ok != (p.HasSecureBoot == q.HasSecureBoot) {
				t.Fatalf("%s and %s: %v", a, b, ok)
			}
			if !ok {
				continue
			}
			for _, boot := range []string{a, b} {
				if v := united.Evaluate(bootLog(t, boot), EvaluateOptions{}); !v.Accepted {
					t.Errorf("%s and %s refuse %s: %v", a, b, boot, v.Findings)
				}
			}
			if !bytes.Equal(before, p.Marshal()) || !bytes.Equal(other, q.Marshal()) {
				t.Errorf("%s and %s: one of the two was changed", a, b)
			}
		}
	}
}
