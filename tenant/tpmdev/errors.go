package tpmdev

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"github.com/google/go-tpm/tpm2"
)

// Kind is the cause of a failure, in a word.
type Kind string

// The causes. Every [Error] has one of them.
const (
	// BadAddress: the text names no TPM.
	BadAddress Kind = "address"
	// Absent: there is no such device or socket.
	Absent Kind = "absent"
	// Forbidden: this user may not open it.
	Forbidden Kind = "forbidden"
	// Occupied: another program has it, or the TPM has no room for one more key.
	Occupied Kind = "occupied"
	// Unreachable: the connection cannot be made, broke, or is silent.
	Unreachable Kind = "unreachable"
	// NoTPM: what answers does not speak like a TPM 2.0.
	NoTPM Kind = "no-tpm"
	// Password: a hierarchy or key wants another password, or is locked out.
	Password Kind = "password"
	// Unsupported: the TPM, or Keylime, does not know an algorithm.
	Unsupported Kind = "unsupported"
	// NoBank: the TPM has no PCRs of a hash.
	NoBank Kind = "bank"
	// NoKey: there is no usable EK at a handle.
	NoKey Kind = "handle"
	// Moving: PCRs changed again and again while they were read.
	Moving Kind = "moving"
	// Failed: the TPM refuses a command for another reason.
	Failed Kind = "failed"
)

// Error is a failure of a TPM or on the way to it. It holds no secret.
type Error struct {
	Kind Kind
	// TPM is the address, "" where none is concerned.
	TPM string
	// Op is what was to be done, in words; may be empty.
	Op string
	// Err is the cause.
	Err error
	// Hint says what to do; may be empty.
	Hint string
}

func (e *Error) Error() string {
	parts := make([]string, 0, 3)
	if e.TPM != "" {
		parts = append(parts, "TPM "+e.TPM)
	}
	if e.Op != "" {
		parts = append(parts, e.Op)
	}
	return strings.Join(append(parts, e.Err.Error()), ": ")
}

func (e *Error) Unwrap() error { return e.Err }

// ofSystem is the failure of opening a device or socket.
func ofSystem(a Address, err error) *Error {
	e := &Error{Kind: Unreachable, TPM: a.String(), Op: "opening it", Err: err}
	var path *fs.PathError
	var call *os.SyscallError
	switch {
	case errors.As(err, &path):
		e.Err = path.Err // the path is named already
	case errors.As(err, &call):
		e.Err = call.Err
	}
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENXIO), errors.Is(err, syscall.ENODEV):
		e.Kind = Absent
		e.Hint = "does the emulator run? Its path is that of the socket for commands: swtpm socket --server type=unixio,path=PATH"
		if a.Scheme == TABRMD {
			e.Hint = "does the bus run? device:" + managedDevice + " needs none"
		}
		if a.Scheme == Device {
			e.Hint = "is there a TPM 2.0, switched on in the firmware's setup? --tpm, or TPM2TOOLS_TCTI, names another one"
		}
	case errors.Is(err, fs.ErrPermission):
		e.Kind, e.Hint = Forbidden, "root may use it, and members of the group that owns it (often tss)"
	case errors.Is(err, syscall.EBUSY):
		e.Kind, e.Hint = Occupied, "another program has it; "+managedDevice+" can be shared"
	case a.Scheme == TABRMD:
		e.Hint = "does tpm2-abrmd run, on this bus? device:" + managedDevice + " needs none"
	case a.Scheme != Device:
		e.Hint = "does the emulator run, and is nobody else connected to it?"
	}
	return e
}

// ofTPM is the failure of a command. what is what was to be done; password
// says in the hint which one could be wrong.
func (t *TPM) ofTPM(what, password string, err error) error {
	if err == nil {
		return nil
	}
	e := &Error{Kind: Failed, TPM: t.name, Op: what, Err: err}
	var (
		known *Error
		code  tpm2.TPMRC
	)
	switch {
	case errors.As(err, &known):
		return err // of the connection
	case !errors.As(err, &code):
		e.Kind = NoTPM
		return e
	}
	for _, c := range []struct {
		kind  Kind
		codes []tpm2.TPMRC
		hint  string
	}{
		{Password, []tpm2.TPMRC{tpm2.TPMRCAuthFail, tpm2.TPMRCBadAuth, tpm2.TPMRCAuthMissing, tpm2.TPMRCAuthUnavailable}, password},
		{Password, []tpm2.TPMRC{tpm2.TPMRCLockout}, "too many wrong passwords: the TPM wants to be left alone for a while, or tpm2_dictionarylockout"},
		{Password, []tpm2.TPMRC{tpm2.TPMRCHierarchy, tpm2.TPMRCDisabled}, "the hierarchy is switched off in the firmware's setup"},
		{Occupied, []tpm2.TPMRC{tpm2.TPMRCObjectMemory, tpm2.TPMRCSessionMemory, tpm2.TPMRCMemory, tpm2.TPMRCObjectHandles, tpm2.TPMRCSessionHandles},
			"the TPM is full of keys of others: " + managedDevice + " shares it; tpm2_flushcontext -t takes them out"},
		{Unsupported, []tpm2.TPMRC{tpm2.TPMRCValue, tpm2.TPMRCHash, tpm2.TPMRCScheme, tpm2.TPMRCKeySize, tpm2.TPMRCCurve, tpm2.TPMRCAsymmetric, tpm2.TPMRCSymmetric},
			"the TPM may not know this algorithm: choose another hash, or kind of key"},
	} {
		for _, one := range c.codes {
			if errors.Is(code, one) {
				e.Kind, e.Hint = c.kind, c.hint
				return e
			}
		}
	}
	return e
}

// unsupported is the refusal of an algorithm.
func unsupported(format string, args ...any) error {
	return &Error{Kind: Unsupported, Err: fmt.Errorf(format, args...)}
}
