// Package measuredboot makes, evaluates, compares and extends measured-boot
// policies: the reference state that Keylime's built-in policy "example" reads
// (PROTOCOL.md 10.7).
package measuredboot

import (
	"errors"

	"github.com/keylime/keylime-tenant/policy"
	"github.com/keylime/keylime-tenant/policy/eventlog"
)

var errSkeleton = errors.New("not written yet")

// Policy is a measured-boot reference state.
type Policy struct{}

// Parse reads a policy from JSON.
func Parse(data []byte) (*Policy, error) { return nil, errSkeleton }

// IsEmpty tells whether the JSON text is one with which a Keylime verifier
// checks nothing at all: {}, [], null, "", 0, false or no text.
func IsEmpty(data []byte) bool { return false }

// IsEmpty tells whether the policy checks nothing at all.
func (p *Policy) IsEmpty() bool { return false }

// Marshal writes the policy as one line of JSON in upstream's key order,
// without a newline.
func (p *Policy) Marshal() ([]byte, error) { return nil, errSkeleton }

// CreateOptions steer Create.
type CreateOptions struct {
	// WithoutSecureBoot allows a log with Secure Boot off.
	WithoutSecureBoot bool
	// AllowPartial writes what can be had from an incomplete log.
	AllowPartial bool
}

// Create makes a policy that accepts exactly the boot that the log shows.
func Create(log *eventlog.Log, opts CreateOptions) (*Policy, error) { return nil, errSkeleton }

// RelevantPCRs lists the PCRs that the policy needs in a quote: 0-9 and 14.
func RelevantPCRs() []int { return []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 14} }

// Mask is the PCR mask that a measured-boot policy adds to an agent's quotes:
// PCRs 0-9 and 11-15.
const Mask = 0xfbff

// EvaluateOptions name the files concerned, for the commands in findings.
type EvaluateOptions struct {
	// PolicyName and LogName stand in commands; empty: POLICY and LOG.
	PolicyName, LogName string
}

// Evaluate judges a log by the policy.
func (p *Policy) Evaluate(log *eventlog.Log, opts EvaluateOptions) policy.Verdict {
	return policy.Verdict{}
}

// ComparePCRs compares the PCRs of a log with quoted ones.
func ComparePCRs(log *eventlog.Log, bank string, pcrs map[int][]byte) []policy.Finding { return nil }

// Change is one difference between two policies, in words.
type Change struct {
	// Where names the object in words.
	Where string `json:"where"`
	// Removed and Added are the values only in the first and only in the
	// second policy.
	Removed []string `json:"removed,omitempty"`
	Added   []string `json:"added,omitempty"`
	// Message is the change in one sentence.
	Message string `json:"message"`
}

// Diff tells in words what differs from a to b.
func Diff(a, b *Policy) []Change { return nil }

// Merge returns a policy that accepts what p accepts and the boots of the logs.
func Merge(p *Policy, logs ...*eventlog.Log) (*Policy, error) { return nil, errSkeleton }

// KernelFiles are the parts of a boot chain to add to a policy.
type KernelFiles struct {
	// Shim, Grub, Kernel, Initrd are file contents; nil: not given.
	Shim, Grub, Kernel, Initrd []byte
	// ShimDigest … are sha256 digests in hex, with or without 0x: Authenticode
	// for Shim, Grub and Kernel, plain for Initrd and Vmlinuz.
	ShimDigest, GrubDigest, KernelDigest, InitrdDigest, VmlinuzDigest string
	// CommandLine is the literal kernel command line; nil: as in the entry
	// that the new one starts from.
	CommandLine *string
}

// AddKernel returns a policy that accepts one more kernel.
func AddKernel(p *Policy, k KernelFiles) (*Policy, error) { return nil, errSkeleton }

// Explain tells in words what the policy demands and what it leaves open.
func Explain(p *Policy) []string { return nil }
