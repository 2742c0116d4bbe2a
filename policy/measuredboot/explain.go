package measuredboot

import (
	"fmt"
	"strings"
)

// Explanation is a policy in words.
type Explanation struct {
	// Demands are what a boot must have.
	Demands []string `json:"demands"`
	// Open are what a verifier does not look at, though it was measured.
	Open []string `json:"open"`
	// Warnings are what is odd about this policy.
	Warnings []string `json:"warnings,omitempty"`
}

// Explain tells in words what a policy demands, what it leaves open and what is
// odd about it.
func Explain(p *Policy) Explanation {
	if p.empty {
		return Explanation{Demands: []string{}, Open: []string{"everything: the policy is empty, a verifier checks nothing of the boot log"}}
	}
	x := Explanation{Warnings: p.Warnings()}
	for _, lack := range p.lacks {
		x.Warnings = append(x.Warnings, lack+" is missing: a verifier refuses every boot")
	}
	demand := func(format string, args ...any) { x.Demands = append(x.Demands, fmt.Sprintf(format, args...)) }
	if p.HasSecureBoot {
		demand("Secure Boot is on")
	} else {
		demand("Secure Boot is off")
	}
	x.keys(p, demand)
	for i, f := range p.Firmware {
		demand("firmware %d of %d allowed: %s", i+1, len(p.Firmware), f.describe())
	}
	for i, k := range p.Kernels {
		demand("boot chain %d of %d allowed: %s", i+1, len(p.Kernels), strings.Join(k.describe(), ", "))
		if _, literal := Literal(k.CommandLine); !literal {
			x.Open = append(x.Open, fmt.Sprintf("arguments of the kernel: boot chain %d allows every command line that matches the pattern %s", i+1, k.CommandLine))
		}
	}
	demand("MokList has one of %d digests, MokListX one of %d, where they are measured", len(p.MokDig), len(p.MokXDig))
	x.Open = append(x.Open,
		"drivers and option ROMs of devices (PCR 2): any are allowed",
		"boot order and boot options (PCR 1), the firmware's configuration flags and tables, processor microcode: any are allowed",
		"the partition table (PCR 5): any is allowed",
		"commands of GRUB (PCR 8) and its own files (PCR 9): any are allowed",
		"the certificates that shim and firmware used (authority events), and SbatLevel: any are allowed",
		"whatever firmware or boot loader do not measure: a missing event is not missed, except for firmware version and volumes, boot applications, kernel, initrd and command line",
		"everything after the kernel's start; that is what IMA and a runtime policy are for",
	)
	if !p.HasSecureBoot {
		x.Open = append(x.Open, "the kernel is compared as GRUB read it from disk, since nothing checks signatures")
	}
	return x
}

func (x *Explanation) keys(p *Policy, demand func(string, ...any)) {
	for _, l := range []struct {
		name string
		list []Key
	}{{"PK", p.PK}, {"KEK", p.KEK}, {"db", p.DB}, {"vendor_db", p.VendorDB}} {
		switch {
		case len(l.list) > 0:
			demand("%s holds none but: %s", l.name, strings.Join(names(l.list), ", "))
		case p.HasSecureBoot && l.name != "vendor_db":
			demand("%s is not measured at all, since no key is allowed", l.name)
			x.Warnings = append(x.Warnings, l.name+" is empty: every boot that measures it is refused")
		case !p.HasSecureBoot:
			x.Open = append(x.Open, "the keys of "+l.name+": any are allowed")
		}
	}
	switch {
	case len(p.DBX) > 0:
		demand("dbx is one list of SHA-256 digests with at least %d revocations", len(p.DBX))
	case p.HasSecureBoot:
		demand("dbx is one list of SHA-256 digests")
		x.Open = append(x.Open, "revocations: none is demanded")
	default:
		x.Open = append(x.Open, "revocations: dbx may be anything")
	}
}
