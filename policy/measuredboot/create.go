package measuredboot

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/keylime/keylime-tenant/policy/eventlog"
)

// CreateOptions steer [Create].
type CreateOptions struct {
	// WithoutSecureBoot allows a log with Secure Boot off, or that does not
	// say. It changes nothing for a log with Secure Boot on.
	WithoutSecureBoot bool
	// AllowPartial makes a policy out of what there is. It accepts nothing
	// before the parts that it lacks are filled in: see [Policy.Lacks].
	AllowPartial bool
}

// SecureBootError says that a log with Secure Boot off needs
// CreateOptions.WithoutSecureBoot.
type SecureBootError struct {
	// Known is false when the log does not say whether Secure Boot is on.
	Known bool
	// Seen tells in words what kind of log it seems to be, if it is known.
	Seen string
}

// Error says what was seen.
func (e *SecureBootError) Error() string {
	if e.Known {
		return "the log was made with Secure Boot off"
	}
	s := "the log does not say whether Secure Boot is on"
	if e.Seen != "" {
		s += ": " + e.Seen
	}
	return s
}

// Lack is a part of a policy that a log does not give.
type Lack struct {
	// Part is the part in words with its key in the policy.
	Part string
	// Seen is what the log has instead.
	Seen string
}

// IncompleteError says that a log does not give a complete policy.
type IncompleteError struct {
	Lacks []Lack
	// Seen tells in words what kind of log it seems to be, if it is known.
	Seen string
}

// Error lists what is missing and what was seen instead.
func (e *IncompleteError) Error() string {
	var parts []string
	for _, l := range e.Lacks {
		parts = append(parts, l.Part+": "+l.Seen)
	}
	s := "the log gives no complete policy: " + strings.Join(parts, "; ")
	if e.Seen != "" {
		s += " (" + e.Seen + ")"
	}
	return s
}

// Create makes a policy from a log, equal in meaning to that of Keylime's
// generator (keylime-policy create measured-boot, PROTOCOL.md 10.7, end) where
// that makes a complete one. The log is believed; take it from a machine in a
// good state.
//
// Applications of the firmware itself (FvVol(…)/FvFile(…)) are left out, as the
// generator does, and some events are refused by every policy of this kind: to
// know whether the new policy accepts its own log, evaluate it.
//
// Errors: [*SecureBootError]; [*IncompleteError], with AllowPartial only for a
// log without sha256 digests.
func Create(log *eventlog.Log, opts CreateOptions) (*Policy, error) {
	c := creation{log: log, p: &Policy{}}
	on, known := secureBoot(log)
	if !on && !opts.WithoutSecureBoot {
		return nil, &SecureBootError{Known: known, Seen: c.seen()}
	}
	if !log.HasBank("sha256") {
		return nil, &IncompleteError{Lacks: []Lack{{Part: "sha256 digests", Seen: "the log has only " + strings.Join(log.Banks, ", ")}}, Seen: c.seen()}
	}
	c.p.HasSecureBoot = on
	c.firmware()
	c.keys()
	c.mok()
	c.kernel()
	if len(c.lacks) == 0 {
		return c.p, nil
	}
	if !opts.AllowPartial {
		return nil, &IncompleteError{Lacks: c.lacks, Seen: c.seen()}
	}
	for _, l := range c.lacks {
		c.p.lacks = append(c.p.lacks, l.Part)
	}
	return c.p, nil
}

// secureBoot tells whether a log says that Secure Boot is on, and whether it
// says anything.
func secureBoot(log *eventlog.Log) (on, known bool) {
	for i := range log.Events {
		e := &log.Events[i]
		if e.Type != eventlog.VariableDriverConfig {
			continue
		}
		if v, err := e.Variable(); err == nil && v.Name == "SecureBoot" {
			return len(v.Data) > 0 && v.Data[0] != 0, true
		}
	}
	return false, false
}

type creation struct {
	log   *eventlog.Log
	p     *Policy
	lacks []Lack
}

func (c *creation) lack(part, format string, args ...any) {
	if slices.ContainsFunc(c.lacks, func(l Lack) bool { return l.Part == part }) {
		return // the first reason is enough
	}
	c.lacks = append(c.lacks, Lack{Part: part, Seen: fmt.Sprintf(format, args...)})
}

// seen recognises logs that people try in vain.
func (c *creation) seen() string {
	legacy, uki := false, false
	for i := range c.log.Events {
		switch e := &c.log.Events[i]; {
		case e.IsVariable(), e.Type == eventlog.BootServicesApplication:
			legacy = false
			if uki {
				return "it shows a unified kernel image: Keylime's built-in policy knows only shim, GRUB and a kernel"
			}
		case e.Type == eventlog.IPLPartitionData, e.Type == eventlog.IPL && e.PCR == 4:
			legacy = true
		case e.Type == eventlog.IPL && (e.PCR == 11 || e.PCR == 12):
			uki = true
		}
	}
	switch {
	case uki:
		return "it shows a unified kernel image: Keylime's built-in policy knows only shim, GRUB and a kernel"
	case legacy:
		return "it is a log of legacy BIOS, not of UEFI"
	}
	return ""
}

// sha256 returns the event's digest; without one the part is lacking.
func (c *creation) sha256(e *eventlog.Event, part string) string {
	digest := e.Digest("sha256")
	if digest == nil {
		c.lack(part, "event %d has no sha256 digest", e.Num)
	}
	return hex.EncodeToString(digest)
}

func (c *creation) firmware() {
	const scrtm, volumes = "the firmware's version (scrtm_and_bios[0].scrtm)", "the firmware's volumes (scrtm_and_bios[0].platform_firmware)"
	f := Firmware{Blobs: []Digests{}}
	for i := range c.log.Events {
		switch e := &c.log.Events[i]; e.Type {
		case eventlog.SCRTMVersion:
			if f.SCRTM == nil {
				f.SCRTM = Digests{"sha256": c.sha256(e, scrtm)}
			}
		case eventlog.PlatformFirmwareBlob, eventlog.PlatformFirmwareBlob2:
			f.Blobs = append(f.Blobs, Digests{"sha256": c.sha256(e, volumes)})
		}
	}
	if f.SCRTM == nil {
		c.lack(scrtm, "no event of type EV_S_CRTM_VERSION")
	}
	c.p.Firmware = []Firmware{f}
}

// keys takes the last variable of each name, whatever its vendor.
func (c *creation) keys() {
	for i := range c.log.Events {
		e := &c.log.Events[i]
		v, err := e.Variable()
		if err != nil || e.Type != eventlog.VariableDriverConfig && e.Type != eventlog.VariableAuthority {
			continue
		}
		if e.Type == eventlog.VariableAuthority {
			if v.Name == "vendor_db" {
				for _, s := range v.VendorDB() {
					c.p.VendorDB = append(c.p.VendorDB, Key{s.Owner.String(), hex.EncodeToString(s.Data)})
				}
			}
			continue
		}
		var to *[]Key
		switch v.Name {
		case "PK":
			to = &c.p.PK
		case "KEK":
			to = &c.p.KEK
		case "db":
			to = &c.p.DB
		case "dbx":
			to = &c.p.DBX
		default:
			continue
		}
		lists, complete := v.SignatureLists()
		if !complete {
			c.lack(fmt.Sprintf("the keys of %s (%s)", v.Name, strings.ToLower(v.Name)), "event %d holds signature lists that contradict themselves", e.Num)
		}
		if len(lists) == 0 {
			continue
		}
		*to = nil
		for _, l := range lists {
			for _, k := range l.Keys {
				*to = append(*to, Key{k.Owner.String(), hex.EncodeToString(k.Data)})
			}
		}
	}
}

func (c *creation) mok() {
	for i := range c.log.Events {
		e := &c.log.Events[i]
		if e.Type != eventlog.IPL {
			continue
		}
		switch readText(e.Data) {
		case "MokList":
			c.p.MokDig = append(c.p.MokDig, Digests{"sha256": c.sha256(e, "the machine owner's keys (mokdig)")})
		case "MokListX":
			c.p.MokXDig = append(c.p.MokXDig, Digests{"sha256": c.sha256(e, "the machine owner's revocations (mokxdig)")})
		}
	}
}

// firmwareApplication tells whether a device path names an application within
// the firmware, such as its setup.
func firmwareApplication(path string) bool {
	rest, ok := strings.CutPrefix(path, "FvVol(")
	if !ok || len(rest) < 36 {
		return false
	}
	rest, ok = strings.CutPrefix(rest[36:], ")/FvFile(")
	return ok && len(rest) > 36 && rest[36] == ')'
}

func (c *creation) kernel() {
	const part = "the allowed kernels (kernels)"
	var applications []*eventlog.Event
	for i := range c.log.Events {
		e := &c.log.Events[i]
		if e.Type != eventlog.BootServicesApplication {
			continue
		}
		image, err := e.Image()
		if err == nil && firmwareApplication(image.DevicePath()) {
			continue
		}
		applications = append(applications, e)
	}
	wants, right := "without Secure Boot 2 are expected (shim, GRUB)", len(applications) == 2
	if c.p.HasSecureBoot {
		wants, right = "with Secure Boot 3 or 4 are expected (shim, GRUB, kernel, and the kernel again)", len(applications) == 3 || len(applications) == 4
	}
	if !right {
		seen := described(applications)
		if seen == nil {
			seen = []string{"none"}
		}
		c.lack(part, "%d boot applications, where %s: %s", len(applications), wants, strings.Join(seen, ", "))
		return
	}
	k := Kernel{Shim: c.sha256(applications[0], part), Grub: c.sha256(applications[1], part)}
	if c.p.HasSecureBoot {
		k.Kernel = c.sha256(applications[2], part)
	}
	c.files(&k)
	c.p.Kernels = []Kernel{k}
}

// files finds initrd, kernel and command line among the texts of GRUB.
func (c *creation) files(k *Kernel) {
	const initrd, vmlinuz, cmdline = "the initrd's digest (kernels[0].initrd_plain_sha256)", "the kernel's digest (kernels[0].vmlinuz_plain_sha256)", "the kernel command line (kernels[0].kernel_cmdline)"
	var paths []string
	for i := range c.log.Events {
		e := &c.log.Events[i]
		if e.Type != eventlog.IPL || e.PCR != 8 && e.PCR != 9 {
			continue
		}
		text := readText(e.Data)
		if e.PCR == 8 {
			if line, ok := strings.CutPrefix(text, commandLinePrefix); ok && k.CommandLine == "" {
				k.CommandLine = Escape(line)
				if unsteady(e.Data) {
					c.p.warnings = append(c.p.warnings, "verifiers read the kernel command line differently, by their version of tpm2-tools: it holds a backslash or a line break")
				}
			}
			continue
		}
		if path := e.Describe(); len(paths) < maxShown && !slices.Contains(paths, path) {
			paths = append(paths, path)
		}
		switch {
		case k.Initrd == "" && (strings.Contains(text, "initrd") || strings.Contains(text, "initramfs")):
			k.Initrd = c.sha256(e, initrd)
		case k.Vmlinuz == "" && !c.p.HasSecureBoot && strings.Contains(text, "vmlinuz"):
			k.Vmlinuz = c.sha256(e, vmlinuz)
		}
	}
	what := "GRUB read no file"
	if len(paths) > 0 {
		what = "among the files that GRUB read is none: " + strings.Join(paths, ", ")
	}
	if k.Initrd == "" {
		c.lack(initrd, "%s", what)
	}
	if k.Vmlinuz == "" && !c.p.HasSecureBoot {
		c.lack(vmlinuz, "%s", what)
	}
	if k.CommandLine == "" {
		c.lack(cmdline, "no event in PCR 8 that begins with %q", commandLinePrefix)
	}
}
