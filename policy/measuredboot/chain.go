package measuredboot

import (
	"fmt"
	"slices"

	"github.com/keylime/keylime-tenant/policy"
	"github.com/keylime/keylime-tenant/policy/eventlog"
)

// mismatch is one way in which the log is not as an entry of the policy says.
type mismatch struct {
	finding policy.Finding
	event   *eventlog.Event
	remedy  remedy
	// expected gives what the whole policy allows; it is asked only for the
	// entry that fits best.
	expected func() []string
}

// maxShown bounds lists in findings and errors, whatever a log holds.
const maxShown = 10

// described lists events for people.
func described(events []*eventlog.Event) []string {
	var out []string
	for i, event := range events {
		if i == maxShown {
			return append(out, fmt.Sprintf("and %d more", len(events)-i))
		}
		out = append(out, event.Describe())
	}
	return out
}

// chain judges boot applications, initrd, kernel and command line: they must
// all fit one entry of kernels.
func (e *evaluation) chain() {
	if e.p.incomplete() && e.p.Kernels == nil {
		return
	}
	if len(e.p.Kernels) == 0 {
		e.refuse(policy.Finding{Check: CheckKernels, Where: "the kernels of the policy", Message: "the policy allows no kernel at all"}, nil, remedyMerge)
		return
	}
	var best []mismatch
	for i := range e.p.Kernels {
		m := e.kernel(i)
		if len(m) == 0 {
			return
		}
		if best == nil || len(m) < len(best) {
			best = m
		}
	}
	e.refuseAll(best)
}

func (e *evaluation) refuseAll(list []mismatch) {
	for _, m := range list {
		if m.expected != nil {
			m.finding.Expected = m.expected()
		}
		e.refuse(m.finding, m.event, m.remedy)
	}
}

// kernel compares the log with one entry, in the verifier's order.
func (e *evaluation) kernel(i int) []mismatch {
	k := &e.p.Kernels[i]
	entry := func(field string) string { return fmt.Sprintf("kernels[%d].%s", i, field) }
	var out []mismatch
	out = append(out, e.applicationsDiffer(k, entry)...)
	out = append(out, e.fileDiffers(e.initrds, CheckInitrd, "initrd", k.Initrd, entry("initrd_plain_sha256"),
		func(k *Kernel) string { return k.Initrd }, true)...)
	out = append(out, e.fileDiffers(e.vmlinuzes, CheckVmlinuz, "kernel", k.Vmlinuz, entry("vmlinuz_plain_sha256"),
		func(k *Kernel) string { return k.Vmlinuz }, !e.p.HasSecureBoot)...)
	return append(out, e.commandLineDiffers(k, entry("kernel_cmdline"))...)
}

// applicationsDiffer: shim, grub and, with Secure Boot, the kernel once or
// twice.
func (e *evaluation) applicationsDiffer(k *Kernel, entry func(string) string) []mismatch {
	want := []struct {
		check, name, digest, field string
		of                         func(*Kernel) string
	}{
		{CheckShim, "shim", k.Shim, "shim_authcode_sha256", func(k *Kernel) string { return k.Shim }},
		{CheckGrub, "grub", k.Grub, "grub_authcode_sha256", func(k *Kernel) string { return k.Grub }},
		{CheckKernel, "the kernel", k.Kernel, "kernel_authcode_sha256", func(k *Kernel) string { return k.Kernel }},
	}
	if !e.p.HasSecureBoot {
		want = want[:2]
	} else if len(e.applications) == 4 {
		want = append(want, want[2]) // some firmware measures the kernel twice
	}
	if len(e.applications) != len(want) {
		return []mismatch{{finding: e.applicationCount(), remedy: remedyNone}}
	}
	var out []mismatch
	for i, w := range want {
		event := e.applications[i]
		if sha256Is(event, w.digest) {
			continue
		}
		out = append(out, mismatch{event: event, expected: func() []string { return e.allowed(w.of) }, finding: policy.Finding{
			Check: w.check, Where: fmt.Sprintf("%s, the %s boot application", w.name, ordinal(i)), Found: []string{shown(event)},
			Message: fmt.Sprintf("%s is another: found %s, the policy expects %s (%s)", w.name, shown(event), w.digest, entry(w.field)),
		}})
	}
	return out
}

func (e *evaluation) applicationCount() policy.Finding {
	f := policy.Finding{Check: CheckApplications, Where: "the boot applications", Expected: []string{"2: shim, grub"}}
	needs := "without Secure Boot 2 are expected: shim and grub"
	if e.p.HasSecureBoot {
		f.Expected = []string{"3: shim, grub, kernel", "4: shim, grub, kernel, kernel"}
		needs = "with Secure Boot 3 or 4 are expected: shim, grub, kernel, and the kernel again"
	}
	f.Found = described(e.applications)
	f.Message = fmt.Sprintf("%d boot applications were started; %s", len(e.applications), needs)
	return f
}

// fileDiffers: exactly one such file, with the digest where it counts.
func (e *evaluation) fileDiffers(events []*eventlog.Event, check, name, digest, field string, of func(*Kernel) string, compare bool) []mismatch {
	f := policy.Finding{Check: check, Where: "the " + name + " that GRUB read"}
	if len(events) != 1 {
		f.Expected, f.Message = []string{"1 file"}, fmt.Sprintf("GRUB read %d files that are a%s; one is expected", len(events), article(name))
		f.Found = described(events)
		m := mismatch{finding: f, remedy: remedyNone}
		if len(events) > 1 {
			m.event = events[1]
		}
		return []mismatch{m}
	}
	event := events[0]
	if !compare || sha256Is(event, digest) {
		return nil
	}
	f.Where = fmt.Sprintf("the %s %s", name, event.Describe())
	f.Found = []string{shown(event)}
	f.Message = fmt.Sprintf("%s is another: found %s, the policy expects %s (%s)", f.Where, shown(event), digest, field)
	return []mismatch{{finding: f, event: event, expected: func() []string { return e.allowed(of) }}}
}

func article(name string) string {
	if name == "initrd" {
		return "n initrd"
	}
	return " " + name
}

func (e *evaluation) commandLineDiffers(k *Kernel, field string) []mismatch {
	f := policy.Finding{Check: CheckCommandLine, Where: "the kernel command line"}
	for _, line := range e.commandLines[:min(len(e.commandLines), maxShown)] {
		f.Found = append(f.Found, line.text[len(commandLinePrefix):])
	}
	if len(e.commandLines) != 1 {
		f.Expected = []string{"1 command line"}
		f.Message = fmt.Sprintf("the log has %d kernel command lines; one is expected", len(e.commandLines))
		m := mismatch{finding: f, remedy: remedyNone}
		if len(e.commandLines) > 1 {
			m.event = e.commandLines[1].event
		}
		return []mismatch{m}
	}
	line := e.commandLines[0]
	pattern, err := newMatcher(k.CommandLine)
	matches := false
	if err == nil {
		matches, err = pattern.match(line.text)
	}
	if matches && err == nil {
		return nil
	}
	f.Message = fmt.Sprintf("the kernel command line is another: found %q, the policy expects %q (%s)", f.Found[0], readable(k.CommandLine), field)
	if err != nil {
		f.Message = fmt.Sprintf("the pattern for the kernel command line cannot be applied: %v (%s)", err, field)
	}
	return []mismatch{{finding: f, event: line.event, expected: e.commandLinesAllowed}}
}

func (e *evaluation) commandLinesAllowed() []string {
	var out []string
	for i := range e.p.Kernels {
		if text := readable(e.p.Kernels[i].CommandLine); !slices.Contains(out, text) {
			out = append(out, text)
		}
	}
	return out
}

// readable shows a pattern as the text it stands for, if it stands for one.
func readable(pattern string) string {
	if text, ok := Literal(pattern); ok {
		return text
	}
	return pattern
}

// allowed lists a digest of all entries, each once.
func (e *evaluation) allowed(of func(*Kernel) string) []string {
	var out []string
	for i := range e.p.Kernels {
		if s := "sha256 " + of(&e.p.Kernels[i]); !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// firmware judges the firmware's version and volumes: they must fit one entry
// of scrtm_and_bios.
func (e *evaluation) firmware() {
	if len(e.p.Firmware) == 0 {
		e.refuse(policy.Finding{Check: CheckFirmwares, Where: "the firmwares of the policy", Message: "the policy allows no firmware at all"}, nil, remedyMerge)
		return
	}
	var best []mismatch
	for i := range e.p.Firmware {
		m := e.firmwareDiffers(i)
		if len(m) == 0 {
			return
		}
		if best == nil || len(m) < len(best) {
			best = m
		}
	}
	e.refuseAll(best)
}

func (e *evaluation) firmwareDiffers(i int) []mismatch {
	allowed := &e.p.Firmware[i]
	entry := fmt.Sprintf("scrtm_and_bios[%d]", i)
	var out []mismatch
	f := policy.Finding{Check: CheckSCRTM, Where: "the firmware's version (S-CRTM)"}
	if len(e.scrtms) != 1 {
		f.Expected, f.Message = []string{"1 event"}, fmt.Sprintf("the log has %d events with the firmware's version; one is expected", len(e.scrtms))
		m := mismatch{finding: f, remedy: remedyNone}
		if len(e.scrtms) > 1 {
			m.event = e.scrtms[1]
		}
		out = append(out, m)
	} else if event := e.scrtms[0]; !has(event, allowed.SCRTM) {
		f.Expected, f.Found = wanted([]Digests{allowed.SCRTM}), []string{shown(event)}
		f.Message = fmt.Sprintf("the firmware's version is another: found %s (%s), the policy expects %s.scrtm", shown(event), event.Describe(), entry)
		out = append(out, mismatch{finding: f, event: event})
	}
	f = policy.Finding{Check: CheckFirmware, Where: "the firmware's volumes"}
	if len(e.blobs) != len(allowed.Blobs) {
		f.Expected, f.Message = []string{fmt.Sprint(len(allowed.Blobs))}, fmt.Sprintf("the log has %d firmware volumes, the policy expects %d (%s.platform_firmware)", len(e.blobs), len(allowed.Blobs), entry)
		f.Found = described(e.blobs)
		return append(out, mismatch{finding: f})
	}
	for n, event := range e.blobs {
		if has(event, allowed.Blobs[n]) {
			continue
		}
		g := f
		g.Where = fmt.Sprintf("firmware volume %d of %d", n+1, len(e.blobs))
		g.Expected, g.Found = wanted(allowed.Blobs[n:n+1]), []string{shown(event)}
		g.Message = fmt.Sprintf("%s is another: found %s (%s), the policy expects %s.platform_firmware[%d]", g.Where, shown(event), event.Describe(), entry, n)
		out = append(out, mismatch{finding: g, event: event})
	}
	return out
}
