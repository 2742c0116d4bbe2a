package source

import "fmt"

// RAMDisk is [InputError].Source of a single RAM disk that cannot be read.
const RAMDisk = "RAM disk"

// InputError is the failure of one source of a policy.
type InputError struct {
	// Source names it as the option does: "rootfs", "ramdisk-dir", "allowlist".
	Source string
	// Path is the file, directory or URL; "" if there is none.
	Path string
	// Err is the cause.
	Err error
}

func (e *InputError) Error() string {
	if e.Path == "" {
		return fmt.Sprintf("%s: %v", e.Source, e.Err)
	}
	return fmt.Sprintf("%s %s: %v", e.Source, e.Path, e.Err)
}

func (e *InputError) Unwrap() error { return e.Err }

// AlgorithmError tells that the sources speak of different hash algorithms, or
// of none that is known.
type AlgorithmError struct {
	// Source is the source that does not fit: "--algo option", "base policy",
	// "allowlist" or "IMA measurement list", in upstream's words.
	Source string
	// Previous is the algorithm of the sources before it, "" if the source's own
	// is no known one.
	Previous string
}

func (e *AlgorithmError) Error() string {
	if e.Previous == "" {
		return "invalid digest algorithm found in the " + e.Source
	}
	return fmt.Sprintf("the digest algorithm in the %s does not match the previously set %q algorithm", e.Source, e.Previous)
}
