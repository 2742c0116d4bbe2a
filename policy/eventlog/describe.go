package eventlog

import (
	"bytes"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// maxShown bounds texts out of a log in a description, in octets.
const maxShown = 300

// Describe tells in one line what the event is, for people. Texts from the log
// are quoted and cut.
func (e *Event) Describe() string {
	switch e.Type {
	case NoAction:
		return e.describeNoAction()
	case Separator:
		return e.describeSeparator()
	case SCRTMVersion:
		return "firmware version " + guessText(e.Data)
	case PostCode, SCRTMContents, PlatformFirmwareBlob, PlatformFirmwareBlob2:
		if b, err := e.Blob(); err == nil && (e.Type != PostCode || len(e.Data) == 16) {
			text := fmt.Sprintf("firmware of %s at 0x%x", octets(b.Length), b.Base)
			if len(b.Description) > 0 {
				text += " " + guessText(b.Description)
			}
			return text
		}
		return "firmware " + guessText(e.Data)
	case CPUMicrocode:
		return "processor microcode, " + guessText(e.Data)
	case PlatformConfigFlags:
		return "platform configuration, " + octets(uint64(len(e.Data)))
	case HandoffTables, HandoffTables2:
		return "tables that the firmware hands over (SMBIOS, ACPI), " + octets(uint64(len(e.Data)))
	case EFIAction, Action:
		return "action " + quote(cText(e.Data))
	case HCRTM:
		return "hardware root of trust started the machine"
	case IPL, CompactHash:
		return guessText(e.Data)
	case IPLPartitionData:
		return "partition table: " + guessText(e.Data)
	case BootServicesApplication, BootServicesDriver, RuntimeServicesDriver:
		return e.describeImage()
	case GPTEvent, GPTEvent2:
		if g, err := e.GPT(); err == nil {
			return fmt.Sprintf("partition table of disk %s, %d partitions", g.DiskGUID, len(g.Partitions))
		}
	case VariableDriverConfig, VariableBoot, VariableBoot2, VariableAuthority:
		if v, err := e.Variable(); err == nil {
			return e.describeVariable(&v)
		}
		return "an EFI variable with lengths that cannot be"
	}
	shown := e.Data[:min(len(e.Data), 32)]
	text := fmt.Sprintf("%s: %s", octets(uint64(len(e.Data))), hex.EncodeToString(shown))
	if len(shown) < len(e.Data) {
		text += "…"
	}
	return text
}

func (e *Event) describeNoAction() string {
	if locality, ok := e.Locality(); ok {
		return fmt.Sprintf("note: the TPM was started from locality %d", locality)
	}
	if len(e.Data) >= 16 {
		name := string(bytes.TrimRight(e.Data[:16], "\x00"))
		if strings.HasPrefix(name, "Spec ID Event") {
			return "header of the log, " + quote(name)
		}
		return "note " + quote(name)
	}
	return "note of " + octets(uint64(len(e.Data)))
}

func (e *Event) describeSeparator() string {
	switch hex.EncodeToString(e.Data) {
	case "00000000", "ffffffff":
		return fmt.Sprintf("end of the firmware's measurements into PCR %d", e.PCR)
	case "01000000":
		return "the firmware failed to measure something"
	}
	return "separator with unusual content " + guessText(e.Data)
}

func (e *Event) describeImage() string {
	what := "application"
	switch e.Type {
	case BootServicesDriver:
		what = "driver"
	case RuntimeServicesDriver:
		what = "runtime driver"
	}
	i, err := e.Image()
	if err != nil {
		return what + " with lengths that cannot be"
	}
	if len(i.Path) == 0 {
		return fmt.Sprintf("%s of %s in memory, without a path: started by a boot loader", what, octets(i.Length))
	}
	return what + " " + clip(i.DevicePath())
}

func (e *Event) describeVariable(v *Variable) string {
	name := v.Name
	if !isPlain(name) {
		name = quote(name)
	}
	switch e.Type {
	case VariableDriverConfig:
		switch v.Name {
		case "SecureBoot":
			if len(v.Data) == 1 && v.Data[0] != 0 {
				return "Secure Boot is on"
			}
			return "Secure Boot is off"
		case "PK", "KEK", "db", "dbx", "vendor_db":
			return name + ": " + describeLists(v)
		}
	case VariableBoot, VariableBoot2:
		if content, ok := e.contentJSON(v); ok && v.Name == "BootOrder" {
			names, _ := content.([]any)
			return clip("boot order " + strings.Trim(fmt.Sprint(names), "[]"))
		}
		if option, ok := v.LoadOption(); ok {
			text := name + " " + quote(option.Description)
			if path, err := DevicePath(option.Path); err == nil && path != "" {
				text += " " + clip(path)
			}
			return text
		}
	case VariableAuthority:
		switch v.Name {
		case "db", "Shim", "MokListRT", "vendor_db":
			if s, ok := v.Authority(); ok {
				return fmt.Sprintf("%s trusted what was started next: %s", name, CertificateName(s.Data))
			}
		case "SbatLevel":
			return "revocation level SbatLevel " + guessText(v.Data)
		}
	}
	return fmt.Sprintf("variable %s of %s, %s", name, v.GUID, octets(uint64(len(v.Data))))
}

func describeLists(v *Variable) string {
	lists, complete := v.SignatureLists()
	var names []string
	digests := 0
	for _, l := range lists {
		for _, k := range l.Keys {
			if l.Type.String() == SignatureX509 {
				names = append(names, CertificateName(k.Data))
			} else {
				digests++
			}
		}
	}
	if digests > 0 {
		names = append(names, fmt.Sprintf("%d digests", digests))
	}
	text := "empty"
	if len(names) > 0 {
		text = clip(strings.Join(names, ", "))
	}
	if !complete {
		text += ", and more that is not well-formed"
	}
	return text
}

// CertificateName names an X.509 certificate in DER for people: the common
// name of its subject or, failing that, the whole subject; what is no
// certificate is named by its length.
func CertificateName(der []byte) string {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return "an entry of " + octets(uint64(len(der)))
	}
	if cert.Subject.CommonName != "" {
		return quote(cert.Subject.CommonName)
	}
	return quote(cert.Subject.String())
}

// guessText shows octets as the text they hold, UTF-16 or UTF-8, or as
// hexadecimal digits.
func guessText(b []byte) string {
	if len(b) == 0 {
		return "(empty)"
	}
	if trimmed := bytes.TrimRight(b, "\x00"); len(trimmed) > 0 {
		if len(b)%2 == 0 && len(b) > 3 && b[1] == 0 && b[3] == 0 {
			return quote(utf16Text(b))
		}
		text := Event{Data: trimmed}
		if s := text.Text(); isPlain(strings.NewReplacer("\n", "", "\t", "").Replace(s)) {
			return quote(s)
		}
	}
	return clip(hex.EncodeToString(b))
}

func isPlain(s string) bool {
	for _, r := range s {
		if !strconv.IsPrint(r) || r == '\ufffd' {
			return false
		}
	}
	return true
}

func quote(s string) string { return strconv.Quote(clip(s)) }

func clip(s string) string {
	if len(s) <= maxShown {
		return s
	}
	return strings.ToValidUTF8(s[:maxShown], "") + "…"
}

func octets(n uint64) string {
	switch {
	case n == 1:
		return "1 octet"
	case n >= 1<<20 && n%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 1<<10 && n%(1<<10) == 0:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d octets", n)
}
