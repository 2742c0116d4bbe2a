package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/keylime/keylime-tenant/tenant/ek"
)

// ek looks at what vouches for TPMs.
func (x *examiner) ek(h *Hop) {
	chain, pin := x.EK.wantsChain(), x.EK.wantsPin()
	switch {
	case !chain && !pin && x.EK.Script == "":
		h.add(Finding{Check: CheckEKRule, Level: Warning, Class: ClassConfiguration, Seen: "nothing vouches for TPMs: require_ek_cert = False, and there is no ek_check_script",
			Why: "anybody can register an agent with a TPM made of software, and it will attest whatever it likes",
			Fix: "set require_ek_cert = True, or ek_require = pin and keylime_tenant ek pin add ID"})
	default:
		var by []string
		if chain {
			by = append(by, "an EK certificate")
		}
		if pin {
			by = append(by, "the list of pinned EKs")
		}
		if x.EK.Script != "" {
			by = append(by, "ek_check_script")
		}
		joint := " and "
		if x.EK.Require == "either" {
			joint = " or "
		}
		h.ok(CheckEKRule, ClassConfiguration, "TPMs are vouched for by %s", strings.Join(by, joint))
	}
	x.ekStore(h, chain)
	if pin {
		x.ekPins(h)
	}
	if x.EK.Script != "" {
		x.ekScript(h)
	}
}

// ekStore looks at the store. Where it is not needed, faults are only notes.
func (x *examiner) ekStore(h *Hop, needed bool) {
	level := Problem
	if !needed {
		level = Note
	} else if x.EK.Require == "either" {
		level = Warning
	}
	fix := "keylime_tenant ek trust add FILE puts the certificate of a TPM's maker there"
	store, err := ek.LoadStore(x.EK.StoreDir)
	if err != nil {
		var trouble *ek.VerificationError
		if errors.As(err, &trouble) {
			err = trouble.Err
		}
		h.add(Finding{Check: CheckEKStore, Level: level, Class: ClassConfiguration, Seen: fmt.Sprintf("tpm_cert_store %s: %s", safe(x.EK.StoreDir), reason(err)),
			Why: "no TPM's certificate can be verified", Fix: fix})
		return
	}
	if store.Len() == 0 {
		h.add(Finding{Check: CheckEKStore, Level: level, Class: ClassConfiguration, Seen: fmt.Sprintf("tpm_cert_store %s holds no certificate", safe(x.EK.StoreDir)),
			Why: "no TPM's certificate can be verified", Fix: fix})
	} else {
		h.ok(CheckEKStore, ClassConfiguration, "%s of TPM makers in %s", count(store.Len(), "certificate"), safe(x.EK.StoreDir))
	}
	x.ekStoreFiles(h, store, needed)
	x.ekStoreDates(h, store, needed)
	h.onlyOwnerChanges(CheckEKStoreMode, "store", x.EK.StoreDir, "whoever adds a certificate there can make TPMs of his own that pass")
}

// ekStoreFiles tells of files that are not used.
func (x *examiner) ekStoreFiles(h *Hop, store *ek.Store, needed bool) {
	skipped := store.Skipped()
	if len(skipped) == 0 {
		if store.Len() > 0 {
			h.ok(CheckEKStoreFiles, ClassConfiguration, "every certificate in the store is used")
		}
		return
	}
	level := Warning
	if !needed {
		level = Note
	}
	var unnamed, broken, paths []string
	for _, s := range skipped {
		if strings.HasSuffix(s.Path, ".pem") {
			broken = append(broken, fmt.Sprintf("%s (%s)", filepath.Base(s.Path), reason(s.Err)))
		} else {
			unnamed = append(unnamed, filepath.Base(s.Path))
			paths = append(paths, word(s.Path))
		}
	}
	if len(unnamed) > 0 {
		h.add(Finding{Check: CheckEKStoreFiles, Level: level, Class: ClassConfiguration,
			Seen: fmt.Sprintf("%s in the store not used: %s", areNot(len(unnamed)), safe(some(unnamed))),
			Why:  "Keylime reads *.pem only, so that the TPMs they vouch for are refused", Fix: "convert them",
			Command: "keylime_tenant ek trust add " + strings.Join(paths, " ")})
	}
	if len(broken) > 0 {
		h.add(Finding{Check: CheckEKStoreFiles, Level: level, Class: ClassConfiguration,
			Seen: fmt.Sprintf("%s in the store cannot be used: %s", count(len(broken), "file"), safe(some(broken))),
			Why:  "the TPMs they should vouch for are refused", Fix: "replace them: keylime_tenant ek trust add FILE reads PEM, DER and PKCS#7"})
	}
}

func areNot(n int) string {
	if n == 1 {
		return "1 file is"
	}
	return fmt.Sprintf("%d files are", n)
}

// ekStoreDates tells of certificates that are no longer, or not yet, valid.
func (x *examiner) ekStoreDates(h *Hop, store *ek.Store, needed bool) {
	if store.Len() == 0 {
		return
	}
	var over, ending []string
	now := x.Now()
	for _, a := range store.Anchors() {
		name := filepath.Base(a.Path)
		if err := a.Certificate.ValidAt(now); err != nil {
			over = append(over, name+" "+err.Error())
		} else if a.Certificate.NotAfter.Sub(now) < soon {
			ending = append(ending, name+" ("+day(a.Certificate.NotAfter, now)+")")
		}
	}
	level := Warning
	if !needed {
		level = Note
	}
	switch {
	case len(over) > 0:
		h.add(Finding{Check: CheckEKStoreDates, Level: level, Class: ClassTLS, Seen: "not valid now: " + safe(some(over)),
			Why: "the TPMs that they vouch for are refused", Fix: "get newer ones from the TPM's maker; keylime_tenant ek trust list shows all"})
	case len(ending) > 0:
		h.add(Finding{Check: CheckEKStoreDates, Level: level, Class: ClassTLS, Seen: "about to expire: " + safe(some(ending)),
			Why: "then the TPMs that they vouch for are refused", Fix: "get newer ones from the TPM's maker"})
	default:
		h.ok(CheckEKStoreDates, ClassTLS, "all certificates of the store are valid")
	}
}

// ekPins looks at the list of pinned EKs.
func (x *examiner) ekPins(h *Hop) {
	pins, err := ek.LoadPins(x.EK.PinFile)
	if err == nil && len(pins.List()) == 0 {
		err = fmt.Errorf("the list of pinned EKs %s is empty", x.EK.PinFile)
	}
	if err != nil {
		var refused *ek.VerificationError
		if errors.As(err, &refused) {
			err = refused.Err
		}
		level := Problem
		if x.EK.Require == "either" && (errors.Is(err, fs.ErrNotExist) || pins != nil) {
			level = Note
		}
		h.add(Finding{Check: CheckEKPins, Level: level, Class: ClassConfiguration, Seen: safe(err.Error()),
			Why: "with ek_require = " + x.EK.Require + " it vouches for TPMs", Fix: "keylime_tenant ek pin add ID pins the EK of an agent"})
		return
	}
	h.ok(CheckEKPins, ClassConfiguration, "%s in %s", count(len(pins.List()), "pinned EK"), safe(x.EK.PinFile))
	h.onlyOwnerChanges(CheckEKPinsMode, "list of pinned EKs", x.EK.PinFile, "whoever changes it can let in TPMs of his own")
}

// ekScript looks whether the script is there and can be run.
func (x *examiner) ekScript(h *Hop) {
	info, err := os.Stat(x.EK.Script)
	bad := func(seen, fix, command string) {
		h.add(Finding{Check: CheckEKScript, Level: Problem, Class: ClassConfiguration, Seen: seen, Why: "every agent is refused", Fix: fix, Command: command})
	}
	r, rightsErr := rightsOf(x.EK.Script)
	switch {
	case err != nil:
		bad(fmt.Sprintf("ek_check_script %s: %s", safe(x.EK.Script), reason(err)), "set ek_check_script to a program; a relative path lies below Keylime's working directory", "")
	case !info.Mode().IsRegular():
		bad(fmt.Sprintf("ek_check_script %s is not a file", safe(x.EK.Script)), "set ek_check_script to a program", "")
	case rightsErr == nil && r.known && r.mode&0o111 == 0:
		bad(fmt.Sprintf("ek_check_script %s cannot be run (%s)", safe(x.EK.Script), r.octal()), "make it executable", "chmod +x "+word(x.EK.Script))
	default:
		h.ok(CheckEKScript, ClassConfiguration, "ek_check_script %s can be run", safe(x.EK.Script))
		h.onlyOwnerChanges(CheckEKScriptMode, "ek_check_script", x.EK.Script, "it runs with your rights and decides which TPMs pass")
	}
}
