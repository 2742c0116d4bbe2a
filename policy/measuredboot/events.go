package measuredboot

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/keylime/keylime-tenant/policy"
	"github.com/keylime/keylime-tenant/policy/eventlog"
)

// separator: four octets of zero, and a digest of them. The specification's
// other value, four octets of 0xFF, is refused by Keylime, which compares
// digits of upper case with digits of lower case.
func (e *evaluation) separator(event *eventlog.Event) {
	zeros := make([]byte, 4)
	f := policy.Finding{Check: CheckSeparator, Where: fmt.Sprintf("the separator of PCR %d", event.PCR), Expected: []string{"00000000"}, Found: []string{clipHex(event.Data)}}
	switch {
	case !bytes.Equal(event.Data, zeros):
		f.Message = fmt.Sprintf("the separator of PCR %d has another content", event.PCR)
		if bytes.Equal(event.Data, []byte{0xff, 0xff, 0xff, 0xff}) {
			f.Message += ", of firmware that is not UEFI (legacy BIOS)"
		}
	case !measures(event, zeros):
		f.Message = fmt.Sprintf("the separator of PCR %d was measured as something else", event.PCR)
		f.Expected, f.Found = []string{"a digest of 00000000"}, []string{shown(event)}
	default:
		return
	}
	e.refuse(f, event, remedyNone)
}

// actions are the texts expected of firmware, by PCR (PFP 1.06, 10.4.4).
func actions(pcr int) []string {
	switch pcr {
	case 1:
		return []string{"Entering ROM Based Setup"}
	case 4:
		return []string{"Calling EFI Application from Boot Option", "Returning from EFI Application from Boot Option"}
	case 5:
		return []string{"Exit Boot Services Invocation", "Exit Boot Services Returned with Failure", "Exit Boot Services Returned with Success"}
	}
	return nil
}

func (e *evaluation) action(event *eventlog.Event) {
	text, _, _ := strings.Cut(string(event.Data), "\x00")
	expected := actions(event.PCR)
	f := policy.Finding{Check: CheckAction, Where: "an action of the firmware", Expected: expected, Found: []string{text}}
	switch {
	case !slices.Contains(expected, text):
		f.Message = fmt.Sprintf("the action %.100q is not expected in PCR %d", text, event.PCR)
	case !measures(event, []byte(text)):
		f.Message = fmt.Sprintf("the action %q was measured as something else", text)
		f.Expected, f.Found = []string{"a digest of the text"}, []string{shown(event)}
	default:
		return
	}
	e.refuse(f, event, remedyNone)
}

// command judges a text in PCR 8.
func (e *evaluation) command(event *eventlog.Event) {
	text := readText(event.Data)
	switch {
	case len(event.Data) > 0 && strings.HasPrefix(text, "grub_cmd: "):
	case len(event.Data) > 0 && strings.HasPrefix(text, commandLinePrefix) && !strings.Contains(text, "\n"):
		e.commandLines = append(e.commandLines, commandLine{event, text})
	default:
		e.refuse(policy.Finding{Check: CheckCommand, Where: "a text in PCR 8", Expected: []string{"grub_cmd: …", "kernel_cmdline: …, in one line"}, Found: []string{event.Describe()},
			Message: "a text in PCR 8 is neither a command of GRUB nor the kernel's command line"}, event, remedyNone)
	}
}

// file judges a path in PCR 9; the first kind that fits counts.
func (e *evaluation) file(event *eventlog.Event) {
	switch fileKind(readText(event.Data)) {
	case fileLoader:
	case fileVmlinuz:
		e.vmlinuzes = append(e.vmlinuzes, event)
	case fileInitrd:
		e.initrds = append(e.initrds, event)
	default:
		e.refuse(policy.Finding{Check: CheckFile, Where: "a file read by GRUB",
			Expected: []string{"…/loader/entries…", "…/grub…", "…/vmlinuz…", "…/initrd…", "…/initramfs…"}, Found: []string{event.Describe()},
			Message: "GRUB read a file that is none of its own, of the kernel or of the initrd"}, event, remedyNone)
	}
}

type kindOfFile int

const (
	fileOther kindOfFile = iota
	fileLoader
	fileVmlinuz
	fileInitrd
)

func fileKind(path string) kindOfFile {
	switch {
	case strings.Contains(path, "\n"):
		return fileOther
	case strings.Contains(path, "/loader/entries"), strings.Contains(path, "/grub"):
		return fileLoader
	case strings.Contains(path, "/vmlinuz"):
		return fileVmlinuz
	case strings.Contains(path, "/initrd"), strings.Contains(path, "/initramfs"):
		return fileInitrd
	}
	return fileOther
}

// mok judges the machine owner's keys in PCR 14.
func (e *evaluation) mok(event *eventlog.Event) {
	text := readText(event.Data)
	f := policy.Finding{Where: text, Found: []string{shown(event)}}
	allowed := e.p.MokDig
	switch {
	case len(event.Data) == 0:
		text = ""
	case text == "MokList":
		f.Check, f.Message = CheckMokList, "the machine owner's keys (MokList) are others"
	case text == "MokListX":
		allowed = e.p.MokXDig
		f.Check, f.Message = CheckMokListX, "the machine owner's revocations (MokListX) are others"
	case text == "MokListTrusted":
		e.once(event, "EV_IPL MokListTrusted", "MokListTrusted in PCR 14", 1)
		return
	}
	if f.Check == "" {
		f.Check, f.Where, f.Message = CheckMok, "a text in PCR 14", "a text in PCR 14 is not expected"
		f.Expected, f.Found = []string{"MokList", "MokListX", "MokListTrusted"}, []string{event.Describe()}
		e.refuse(f, event, remedyNone)
		return
	}
	if !has(event, allowed...) {
		f.Expected = wanted(allowed)
		e.refuse(f, event, remedyMerge)
	}
}

func clipHex(b []byte) string {
	if len(b) > 40 {
		return hex.EncodeToString(b[:40]) + "…"
	}
	return hex.EncodeToString(b)
}
