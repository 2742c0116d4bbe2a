package measuredboot

import (
	"fmt"
	"slices"
	"strings"
)

// Change is one difference between two policies.
type Change struct {
	// Where names the object in words.
	Where string `json:"where"`
	// Removed and Added are what only the first and only the second has.
	Removed []string `json:"removed,omitempty"`
	Added   []string `json:"added,omitempty"`
	// Weaker is true when the second policy demands less: Secure Boot, a
	// revocation, or a list that allows anything.
	Weaker bool `json:"weaker"`
	// Message is the change in one sentence without a period.
	Message string `json:"message"`
}

// Diff tells in words what differs from a to b, nothing for policies that
// accept the same boots. Order within lists does not count, but for firmware
// volumes. To compare logs, make policies of them with
// CreateOptions.AllowPartial.
func Diff(a, b *Policy) []Change {
	var out []Change
	add := func(c Change) { out = append(out, c) }
	if a.empty != b.empty {
		c := Change{Where: "the policy", Message: "the first policy is empty and checks nothing"}
		if b.empty {
			c.Weaker, c.Message = true, "the second policy is empty and checks nothing"
		}
		return []Change{c}
	}
	if a.HasSecureBoot != b.HasSecureBoot {
		say := map[bool]string{true: "on", false: "off"}
		add(Change{Where: "Secure Boot", Removed: []string{say[a.HasSecureBoot]}, Added: []string{say[b.HasSecureBoot]}, Weaker: a.HasSecureBoot,
			Message: "Secure Boot must be " + say[b.HasSecureBoot] + " instead of " + say[a.HasSecureBoot]})
	}
	diffFirmware(a, b, add)
	for _, l := range []struct {
		where string
		a, b  []Key
	}{{"PK, the platform's owner", a.PK, b.PK}, {"KEK, who may change db and dbx", a.KEK, b.KEK}, {"db, who may sign what boots", a.DB, b.DB}, {"vendor_db, the distribution's keys in shim", a.VendorDB, b.VendorDB}} {
		diffKeys(l.where, l.a, l.b, b.HasSecureBoot, add)
	}
	diffRevocations(a, b, add)
	diffDigests("MokList, the machine owner's keys", a.MokDig, b.MokDig, add)
	diffDigests("MokListX, the machine owner's revocations", a.MokXDig, b.MokXDig, add)
	diffKernels(a, b, add)
	return out
}

// only returns the elements of a that b has not, each once.
func only[T any](a, b []T, equal func(T, T) bool) []T {
	var out []T
	for _, x := range a {
		same := func(y T) bool { return equal(x, y) }
		if !slices.ContainsFunc(b, same) && !slices.ContainsFunc(out, same) {
			out = append(out, x)
		}
	}
	return out
}

func diffKeys(where string, a, b []Key, secureBoot bool, add func(Change)) {
	inA, inB := keySet(a), keySet(b)
	missing := func(list []Key, set map[Key]bool) []Key {
		return slices.DeleteFunc(slices.Clone(list), func(k Key) bool { return set[k] })
	}
	removed, added := names(missing(a, inB)), names(missing(b, inA))
	if removed == nil && added == nil {
		return
	}
	c := Change{Where: where, Removed: removed, Added: added}
	switch {
	case !secureBoot && len(b) == 0:
		c.Weaker, c.Message = true, where+": anything is allowed now"
	case !secureBoot && len(a) == 0:
		c.Message = where + ": only certain keys are allowed now, where anything was"
	default:
		c.Message = where + ": " + counts(len(removed), len(added), "key allowed no longer", "key allowed in addition")
	}
	add(c)
}

func diffRevocations(a, b *Policy, add func(Change)) {
	inA, inB := keySet(a.DBX), keySet(b.DBX)
	c := Change{Where: "dbx, the revocations demanded"}
	for _, k := range a.DBX {
		if !inB[k] {
			c.Removed = append(c.Removed, nameOf(k, ""))
		}
	}
	for _, k := range b.DBX {
		if !inA[k] {
			c.Added = append(c.Added, nameOf(k, ""))
		}
	}
	if c.Removed == nil && c.Added == nil {
		return
	}
	c.Weaker = c.Removed != nil
	c.Message = c.Where + ": " + counts(len(c.Removed), len(c.Added), "revocation demanded no longer", "revocation demanded in addition")
	if !b.HasSecureBoot && len(b.DBX) == 0 {
		c.Message = c.Where + ": anything is allowed now"
	}
	add(c)
}

func counts(removed, added int, less, more string) string {
	var parts []string
	for _, p := range []struct {
		n    int
		text string
	}{{removed, less}, {added, more}} {
		if p.n > 0 {
			noun, rest, _ := strings.Cut(p.text, " ")
			if p.n > 1 {
				noun += "s"
			}
			parts = append(parts, fmt.Sprintf("%d %s %s", p.n, noun, rest))
		}
	}
	return strings.Join(parts, ", ")
}

func diffDigests(where string, a, b []Digests, add func(Change)) {
	equal := func(x, y string) bool { return x == y }
	removed, added := only(wanted(a), wanted(b), equal), only(wanted(b), wanted(a), equal)
	if removed != nil || added != nil {
		add(Change{Where: where, Removed: removed, Added: added, Message: where + ": " + counts(len(removed), len(added), "digest allowed no longer", "digest allowed in addition")})
	}
}

func diffFirmware(a, b *Policy, add func(Change)) {
	const where = "the firmware"
	removed, added := only(a.Firmware, b.Firmware, Firmware.equal), only(b.Firmware, a.Firmware, Firmware.equal)
	if removed == nil && added == nil {
		return
	}
	c := Change{Where: where, Message: where + ": " + counts(len(removed), len(added), "firmware allowed no longer", "firmware allowed in addition")}
	if len(removed) == 1 && len(added) == 1 {
		c.Message = where + " is another: " + strings.Join(removed[0].differs(added[0]), ", ")
	}
	for _, f := range removed {
		c.Removed = append(c.Removed, f.describe())
	}
	for _, f := range added {
		c.Added = append(c.Added, f.describe())
	}
	add(c)
}

func (f Firmware) describe() string {
	return fmt.Sprintf("version %s, %d volumes: %s", strings.Join(wanted([]Digests{f.SCRTM}), " or "), len(f.Blobs), strings.Join(wanted(f.Blobs), ", "))
}

// differs names the parts in which two firmwares differ.
func (f Firmware) differs(g Firmware) []string {
	var out []string
	if !equalDigests([]Digests{f.SCRTM}, []Digests{g.SCRTM}) {
		out = append(out, "version")
	}
	if len(f.Blobs) != len(g.Blobs) {
		return append(out, fmt.Sprintf("%d volumes instead of %d", len(g.Blobs), len(f.Blobs)))
	}
	for i := range f.Blobs {
		if !equalDigests(f.Blobs[i:i+1], g.Blobs[i:i+1]) {
			out = append(out, fmt.Sprintf("volume %d", i+1))
		}
	}
	return out
}

// diffKernels pairs entries that are similar and tells what changed in them.
func diffKernels(a, b *Policy, add func(Change)) {
	removed, added := only(a.Kernels, b.Kernels, Kernel.equal), only(b.Kernels, a.Kernels, Kernel.equal)
	for _, k := range added {
		const where = "the boot chain"
		best, fewest := -1, 4
		for i, old := range removed {
			if n := len(old.parts(k)); n < fewest {
				best, fewest = i, n
			}
		}
		if best < 0 {
			add(Change{Where: where, Added: k.describe(), Message: where + " with the command line " + quoted(k.CommandLine) + " is allowed in addition"})
			continue
		}
		for _, p := range removed[best].parts(k) {
			add(Change{Where: p.where, Removed: []string{p.old}, Added: []string{p.new}, Message: p.where + " is another: " + p.new + " instead of " + p.old})
		}
		removed = slices.Delete(removed, best, best+1)
	}
	for _, k := range removed {
		const where = "the boot chain"
		add(Change{Where: where, Removed: k.describe(), Message: where + " with the command line " + quoted(k.CommandLine) + " is allowed no longer"})
	}
}

func quoted(pattern string) string { return fmt.Sprintf("%q", readable(pattern)) }

// part is a part of a boot chain that two entries have differently.
type part struct{ where, old, new string }

// parts lists the parts in which two boot chains differ. A digest that only one
// of them has is one that a verifier does not read in the other.
func (k Kernel) parts(l Kernel) []part {
	var out []part
	old := k.digests()
	for i, p := range l.digests() {
		if was := old[i].new; was != p.new && was != "" && p.new != "" {
			out = append(out, part{p.where, "sha256 " + was, "sha256 " + p.new})
		}
	}
	if k.CommandLine != l.CommandLine {
		out = append(out, part{"the kernel command line", quoted(k.CommandLine), quoted(l.CommandLine)})
	}
	return out
}

// digests names the digests of a boot chain.
func (k Kernel) digests() []part {
	return []part{{where: "shim", new: k.Shim}, {where: "grub", new: k.Grub}, {where: "the kernel", new: k.Kernel},
		{where: "the initrd", new: k.Initrd}, {where: "the kernel's file", new: k.Vmlinuz}}
}

// describe lists the parts of a boot chain.
func (k Kernel) describe() []string {
	var out []string
	for _, p := range k.digests() {
		if p.new != "" {
			out = append(out, p.where+" sha256 "+p.new)
		}
	}
	return append(out, "the kernel command line "+quoted(k.CommandLine))
}
