package measuredboot

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/keylime/keylime-tenant/policy/authenticode"
)

// KernelParts are the parts of a boot chain for [AddKernel]; what is empty is
// taken from the policy. Digests are sha256 in hexadecimal digits, with or
// without 0x, in either case.
type KernelParts struct {
	// Shim, Grub and Kernel are Authenticode digests.
	Shim, Grub, Kernel string
	// Vmlinuz is the digest of the kernel's whole file, Initrd that of the
	// initrd.
	Vmlinuz, Initrd string
	// CommandLine is the kernel command line as GRUB measures it: the
	// kernel's path as GRUB writes it and the arguments.
	CommandLine string
	// CommandLinePattern is a Python regular expression instead.
	CommandLinePattern string
}

// KernelFiles are the files of a boot chain; nil for those not at hand.
type KernelFiles struct {
	Shim, Grub, Kernel, Initrd *io.SectionReader
}

// PartError says which part given to [AddKernel] or [KernelFiles.Parts] cannot
// be used.
type PartError struct {
	// Part is "shim", "grub", "kernel", "initrd", "vmlinuz" or "command line".
	Part string
	// Cause is the reason in words, Err the underlying error, if any: an
	// *authenticode.Error for a file that is no image.
	Cause string
	Err   error
}

// Error names the part and the reason.
func (e *PartError) Error() string {
	if e.Err == nil {
		return e.Part + ": " + e.Cause
	}
	return e.Part + ": " + e.Cause + ": " + e.Err.Error()
}

// Unwrap returns the underlying error.
func (e *PartError) Unwrap() error { return e.Err }

// Parts hashes the files: images as firmware measures them, the initrd as a
// whole, the kernel in both ways. Errors are of type [*PartError].
func (f KernelFiles) Parts() (KernelParts, error) {
	var k KernelParts
	for _, image := range []struct {
		part string
		file *io.SectionReader
		to   *string
	}{{"shim", f.Shim, &k.Shim}, {"grub", f.Grub, &k.Grub}, {"kernel", f.Kernel, &k.Kernel}} {
		if image.file == nil {
			continue
		}
		digest, err := authenticode.Digest(image.file, image.file.Size(), sha256.New())
		if err != nil {
			return KernelParts{}, &PartError{Part: image.part, Cause: "the file cannot be measured", Err: err}
		}
		*image.to = hex.EncodeToString(digest)
	}
	for _, plain := range []struct {
		part string
		file *io.SectionReader
		to   *string
	}{{"kernel", f.Kernel, &k.Vmlinuz}, {"initrd", f.Initrd, &k.Initrd}} {
		if plain.file == nil {
			continue
		}
		h := sha256.New()
		if _, err := io.Copy(h, io.NewSectionReader(plain.file, 0, plain.file.Size())); err != nil {
			return KernelParts{}, &PartError{Part: plain.part, Cause: "the file cannot be read", Err: err}
		}
		*plain.to = hex.EncodeToString(h.Sum(nil))
	}
	return k, nil
}

// AddKernel returns a policy that accepts one more boot chain: the last one of
// p with the parts given, and notes for the user about what was assumed. It is
// for the next boot, before the reboot; that the firmware will measure just
// these parts is not checked by anyone. A chain that p allows already is not
// added again.
//
// Errors are of type [*PartError].
func AddKernel(p *Policy, parts KernelParts) (*Policy, []string, error) {
	if p.empty || len(p.Kernels) == 0 {
		return nil, nil, &PartError{Part: "policy", Cause: "it has no entry in kernels to start from"}
	}
	next := p.Kernels[len(p.Kernels)-1]
	next.extra = nil
	given := 0
	var kept []string
	for _, d := range []struct {
		part, digest string
		to           *string
		counts       bool
	}{
		{"shim", parts.Shim, &next.Shim, true}, {"grub", parts.Grub, &next.Grub, true},
		{"kernel", parts.Kernel, &next.Kernel, p.HasSecureBoot}, {"vmlinuz", parts.Vmlinuz, &next.Vmlinuz, !p.HasSecureBoot},
		{"initrd", parts.Initrd, &next.Initrd, true},
	} {
		switch {
		case d.digest != "":
			digits := strings.ToLower(strings.TrimPrefix(strings.TrimSpace(d.digest), "0x"))
			if len(digits) != 64 || !isHex(digits) {
				return nil, nil, &PartError{Part: d.part, Cause: fmt.Sprintf("%.80q is not a sha256 digest of 64 hexadecimal digits", d.digest)}
			}
			if d.counts {
				*d.to = digits
				given++
			}
		case d.counts:
			kept = append(kept, d.part)
		}
	}
	line, err := commandLineOf(parts)
	switch {
	case err != nil:
		return nil, nil, err
	case line != "":
		next.CommandLine = line
		given++
	default:
		kept = append(kept, fmt.Sprintf("command line %q", readable(next.CommandLine)))
	}
	if given == 0 {
		return nil, nil, &PartError{Part: "kernel", Cause: "nothing is given that the policy reads"}
	}
	out := p.Clone()
	if slices.ContainsFunc(p.Kernels, next.equal) {
		return out, []string{"the policy allows this boot chain already"}, nil
	}
	out.Kernels = append(out.Kernels, next)
	var notes []string
	if len(kept) > 0 {
		notes = append(notes, fmt.Sprintf("taken from kernels[%d]: %s", len(p.Kernels)-1, strings.Join(kept, ", ")))
	}
	if line == "" && (parts.Kernel != "" || parts.Vmlinuz != "") {
		notes = append(notes, "the command line begins with the kernel's path: if the new kernel has another name, give the command line too")
	}
	return out, notes, nil
}

// commandLineOf returns the pattern for the command line given, "" for none.
func commandLineOf(parts KernelParts) (string, error) {
	const part = "command line"
	pattern := parts.CommandLinePattern
	switch {
	case parts.CommandLine != "" && pattern != "":
		return "", &PartError{Part: part, Cause: "both a text and a pattern are given"}
	case parts.CommandLine != "":
		text := strings.TrimPrefix(strings.TrimRight(parts.CommandLine, "\n"), commandLinePrefix)
		// /proc/cmdline has the path behind this word; what GRUB measures has
		// not.
		text = strings.TrimPrefix(text, "BOOT_IMAGE=")
		if strings.ContainsAny(text, "\n\x00") {
			return "", &PartError{Part: part, Cause: "it has more than one line"}
		}
		return Escape(text), nil
	case pattern != "":
		if _, err := newMatcher(pattern); err != nil {
			return "", &PartError{Part: part, Cause: "the pattern cannot be used", Err: err}
		}
	}
	return pattern, nil
}
