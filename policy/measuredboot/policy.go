// Package measuredboot makes, evaluates, compares and extends measured-boot
// policies: the reference states that Keylime's built-in policy "example" reads
// (PROTOCOL.md 10.7; keylime 7.14.3, mba/elchecking/example.py).
//
// [Policy.Evaluate] accepts exactly the logs that a Keylime verifier accepts,
// but says everything that is wrong and not only the first thing. It judges
// what a log claims; that the machine really booted so is known only when the
// log's PCRs are those of a verified quote: [ComparePCRs].
//
// What the policy does not look at is listed by [Explain]; the most important:
// option ROMs (PCR 2), boot variables (PCR 1), the partition table (PCR 5) and
// the names of the files in PCR 9 are taken as they come.
package measuredboot

import (
	"maps"
	"slices"
)

// Mask is the PCR mask that a measured-boot policy adds to an agent's quotes:
// PCRs 0-9 and 11-15 (PROTOCOL.md 0.3).
const Mask = 0xfbff

// RelevantPCRs lists the PCRs that the policy needs in a quote.
func RelevantPCRs() []int { return []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 14} }

// Policy is a measured-boot reference state. Its fields may be read freely; to
// change a policy, change the result of [Policy.Clone]. The zero Policy refuses
// everything; see [Policy.IsEmpty] for the one that accepts everything.
type Policy struct {
	// HasSecureBoot demands Secure Boot on, otherwise off.
	HasSecureBoot bool
	// Firmware are the firmwares allowed (scrtm_and_bios).
	Firmware []Firmware
	// PK, KEK, DB and VendorDB are the keys that the variables of these names
	// may hold; without Secure Boot an empty list allows anything.
	PK, KEK, DB, VendorDB []Key
	// DBX are the entries that dbx must hold at least.
	DBX []Key
	// MokDig and MokXDig are digests allowed for MokList and MokListX.
	MokDig, MokXDig []Digests
	// Kernels are the boot chains allowed.
	Kernels []Kernel

	// empty is true for a policy that checks nothing.
	empty bool
	// lacks names required keys that are missing, in an incomplete policy made
	// with CreateOptions.AllowPartial.
	lacks []string
	// extra are the keys of the file that nobody reads.
	extra []member
	// warnings tell what is odd about the file.
	warnings []string
}

// Firmware is one allowed firmware.
type Firmware struct {
	// SCRTM is the digest of the version event.
	SCRTM Digests
	// Blobs are the digests of the firmware volumes, in their order.
	Blobs []Digests

	extra []member
}

// Digests maps names of hash algorithms ("sha256") to digests in lower-case
// hexadecimal digits without 0x. Any of them is enough.
type Digests map[string]string

// Key is an entry of a signature database.
type Key struct {
	// Owner is a GUID in lower case.
	Owner string
	// Data is the entry, a certificate or a digest, in lower-case hexadecimal
	// digits without 0x.
	Data string
}

// Kernel is one allowed boot chain. Digests are sha256, in lower-case
// hexadecimal digits without 0x.
type Kernel struct {
	// Shim, Grub and Kernel are Authenticode digests; Kernel counts only with
	// Secure Boot.
	Shim, Grub, Kernel string
	// Initrd and Vmlinuz are digests of whole files; Vmlinuz, the same file as
	// Kernel, counts only without Secure Boot.
	Initrd, Vmlinuz string
	// CommandLine is a Python regular expression that must match the whole
	// command line.
	CommandLine string

	extra []member
}

// IsEmpty tells whether a verifier checks nothing at all with this policy:
// {}, [], null and other false values of JSON (PROTOCOL.md 10.6).
func (p *Policy) IsEmpty() bool { return p.empty }

// Lacks names the parts that an incomplete policy lacks, in words; such a
// policy accepts nothing. See [CreateOptions].
func (p *Policy) Lacks() []string { return slices.Clone(p.lacks) }

// Warnings tells what is odd about the file that the policy was parsed from:
// keys that nobody reads, values that can never match.
func (p *Policy) Warnings() []string { return slices.Clone(p.warnings) }

// Clone returns a copy that shares nothing with p.
func (p *Policy) Clone() *Policy {
	c := *p
	c.Firmware = slices.Clone(p.Firmware)
	for i := range c.Firmware {
		f := &c.Firmware[i]
		f.SCRTM, f.Blobs, f.extra = maps.Clone(f.SCRTM), cloneDigests(f.Blobs), slices.Clone(f.extra)
	}
	c.PK, c.KEK, c.DB, c.DBX, c.VendorDB = slices.Clone(p.PK), slices.Clone(p.KEK), slices.Clone(p.DB), slices.Clone(p.DBX), slices.Clone(p.VendorDB)
	c.MokDig, c.MokXDig = cloneDigests(p.MokDig), cloneDigests(p.MokXDig)
	c.Kernels = slices.Clone(p.Kernels)
	for i := range c.Kernels {
		c.Kernels[i].extra = slices.Clone(c.Kernels[i].extra)
	}
	c.lacks, c.extra, c.warnings = slices.Clone(p.lacks), slices.Clone(p.extra), slices.Clone(p.warnings)
	return &c
}

func cloneDigests(list []Digests) []Digests {
	out := slices.Clone(list)
	for i := range out {
		out[i] = maps.Clone(out[i])
	}
	return out
}

// equalDigests tells whether two lists name the same digests in order.
func equalDigests(a, b []Digests) bool {
	return slices.EqualFunc(a, b, func(x, y Digests) bool { return maps.Equal(x, y) })
}
