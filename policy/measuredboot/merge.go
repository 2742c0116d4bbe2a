package measuredboot

import (
	"fmt"
	"maps"
	"slices"

	"github.com/keylime/keylime-tenant/policy"
	"github.com/keylime/keylime-tenant/policy/eventlog"
)

// MergeError says that a policy cannot be made to accept a log.
type MergeError struct {
	// Log is the index of the log among those given.
	Log int
	// Cause is the reason in words.
	Cause string
	// Findings are what refuses the log still, when everything that a policy
	// can allow was allowed.
	Findings []policy.Finding
	// Err is the error of [Create], if that is the reason.
	Err error
}

// Error names the log and the reason.
func (e *MergeError) Error() string {
	s := fmt.Sprintf("log %d cannot be accepted as well: %s", e.Log+1, e.Cause)
	for i, f := range e.Findings {
		if i == 3 {
			return s + fmt.Sprintf("; and %d more", len(e.Findings)-i)
		}
		s += "; " + f.Message
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the error of Create.
func (e *MergeError) Unwrap() error { return e.Err }

// Merge returns a policy that accepts the boots of the logs besides all that p
// accepts. It changes as little as that takes: nothing for a log that p accepts
// already; keys, machine owner's lists and firmwares are added to those
// allowed; the boot chain becomes one more entry of kernels. Revocations (dbx)
// that a log lacks are no longer demanded, which makes the policy weaker:
// compare with [Diff] and tell the user.
//
// The error is a [*MergeError]: the logs differ from p in Secure Boot, show
// something that no policy accepts, or give no complete entry.
func Merge(p *Policy, logs ...*eventlog.Log) (*Policy, error) {
	merged := p.Clone()
	for i, log := range logs {
		fail := func(cause string, findings []policy.Finding, err error) (*Policy, error) {
			return nil, &MergeError{Log: i, Cause: cause, Findings: findings, Err: err}
		}
		verdict := merged.Evaluate(log, EvaluateOptions{})
		if verdict.Accepted {
			continue
		}
		if on, known := secureBoot(log); known && on != p.HasSecureBoot {
			if on {
				return fail("it was made with Secure Boot on, the policy is for Secure Boot off", nil, nil)
			}
			return fail("it was made with Secure Boot off, the policy demands it on", nil, nil)
		}
		boot, err := Create(log, CreateOptions{WithoutSecureBoot: true})
		if err != nil {
			return fail("it gives no entry for a policy", nil, err)
		}
		for _, f := range verdict.Findings {
			merged.allow(f.Check, boot)
		}
		if verdict = merged.Evaluate(log, EvaluateOptions{}); !verdict.Accepted {
			return fail("no policy of this kind accepts it", verdict.Findings, nil)
		}
	}
	return merged, nil
}

// Unite returns a policy that accepts the boots that p accepts and those that q
// accepts; ok is false if one demands Secure Boot on and the other off. Parts
// are allowed independently of each other, as everywhere in such a policy, but
// for the boot chains and firmwares, which stay together. A revocation (dbx) is
// demanded only if both demand it: compare with [Diff] and tell the user.
func Unite(p, q *Policy) (united *Policy, ok bool) {
	if p.HasSecureBoot != q.HasSecureBoot {
		return nil, false
	}
	united = p.Clone()
	for _, check := range []string{CheckPK, CheckKEK, CheckDB, CheckVendorDB, CheckDBX, CheckMokList, CheckMokListX, CheckFirmware, CheckKernels} {
		united.allow(check, q)
	}
	return united, true
}

// allow adds to p what boot has for the check that refused it.
func (p *Policy) allow(check string, boot *Policy) {
	switch check {
	case CheckPK:
		p.PK = p.unite(p.PK, boot.PK)
	case CheckKEK:
		p.KEK = p.unite(p.KEK, boot.KEK)
	case CheckDB:
		p.DB = p.unite(p.DB, boot.DB)
	case CheckVendorDB:
		p.VendorDB = p.unite(p.VendorDB, boot.VendorDB)
	case CheckDBX:
		held := keySet(boot.DBX)
		p.DBX = slices.DeleteFunc(slices.Clone(p.DBX), func(k Key) bool { return !held[k] })
	case CheckMokList:
		p.MokDig = addDigests(p.MokDig, boot.MokDig)
	case CheckMokListX:
		p.MokXDig = addDigests(p.MokXDig, boot.MokXDig)
	case CheckSCRTM, CheckFirmware, CheckFirmwares:
		for _, f := range boot.Firmware {
			if !slices.ContainsFunc(p.Firmware, f.equal) {
				p.Firmware = append(p.Firmware, f)
			}
		}
	case CheckShim, CheckGrub, CheckKernel, CheckInitrd, CheckVmlinuz, CheckCommandLine, CheckKernels:
		for _, k := range boot.Kernels {
			if !slices.ContainsFunc(p.Kernels, k.equal) {
				p.Kernels = append(p.Kernels, k)
			}
		}
	}
}

// unite adds keys to an allow list. Without Secure Boot an empty list allows
// everything: it stays, and a boot without keys makes it so.
func (p *Policy) unite(allowed, more []Key) []Key {
	if !p.HasSecureBoot && (len(allowed) == 0 || len(more) == 0) {
		return nil
	}
	set := keySet(allowed)
	for _, k := range more {
		if !set[k] {
			set[k] = true
			allowed = append(allowed, k)
		}
	}
	return allowed
}

func addDigests(allowed, more []Digests) []Digests {
	for _, d := range more {
		if !slices.ContainsFunc(allowed, func(a Digests) bool { return maps.Equal(a, d) }) {
			allowed = append(allowed, d)
		}
	}
	return allowed
}

func (f Firmware) equal(g Firmware) bool {
	return maps.Equal(f.SCRTM, g.SCRTM) && equalDigests(f.Blobs, g.Blobs)
}

// equal compares what a verifier reads.
func (k Kernel) equal(l Kernel) bool {
	return k.Shim == l.Shim && k.Grub == l.Grub && k.Kernel == l.Kernel && k.Initrd == l.Initrd && k.Vmlinuz == l.Vmlinuz && k.CommandLine == l.CommandLine
}
