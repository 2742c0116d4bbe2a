package measuredboot

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/keylime/keylime-tenant/policy/eventlog"
)

// A verifier reads a log through tpm2_eventlog's YAML. What it sees differs
// from what the log holds in a few places, and some logs it cannot read at
// all. This file knows these places for tpm2-tools 5.4 (Debian 12), the version
// that this package was compared with; the verdict must be the verifier's.
//
// Texts that become equal to an expected one only by an accident of YAML (blanks
// around a variable's name, quotes around an action) are not taken for it: there
// this package is stricter.

// readText returns the text of an EV_IPL event as the verifier has it:
// escaped and put in quotes line by line, and with Keylime's unescaping
// (PROTOCOL.md 12.4). For nearly all texts that is the text itself without the
// NUL at its end; a backslash before one of 0abtvfre'\ and a line break make a
// difference.
func readText(data []byte) string {
	text := string(data)
	if !strings.ContainsAny(text, "\\\n\"") {
		return strings.TrimSuffix(text, "\x00")
	}
	var lines []string
	for at := 0; at < len(text); {
		end := strings.IndexByte(text[at:], '\n')
		if end < 0 {
			end = len(text) - at
		}
		lines = append(lines, `"`+escaper.Replace(text[at:at+end])+`"`)
		at += end + 1
	}
	joined := strings.Join(lines, "\n")
	if strings.HasPrefix(joined, `"`) && strings.HasSuffix(joined, `"`) && len(joined) > 1 {
		joined = joined[1 : len(joined)-1]
	}
	for _, e := range escapes {
		joined = strings.ReplaceAll(joined, e[1], e[0])
	}
	return strings.TrimSuffix(joined, "\x00")
}

// escapes are characters and how tpm2_eventlog 5.4 writes them, in the order in
// which Keylime takes them back.
var escapes = [...][2]string{
	{"\x00", `\0`}, {"\a", `\a`}, {"\b", `\b`}, {"\t", `\t`}, {"\v", `\v`}, {"\f", `\f`}, {"\r", `\r`}, {"\x1b", `\e`}, {"'", `\'`}, {`\`, `\\`},
}

var escaper = strings.NewReplacer("\x00", `\0`, "\a", `\a`, "\b", `\b`, "\t", `\t`, "\v", `\v`, "\f", `\f`, "\r", `\r`, "\x1b", `\e`, "'", `\'`, `\`, `\\`)

// unsteady tells whether versions of tpm2_eventlog give a verifier different
// texts for these octets.
func unsteady(data []byte) bool {
	return readText(data) != string(bytes.TrimSuffix(data, []byte{0}))
}

// unreadableEvent tells why a verifier cannot read the event, "" if it can.
func unreadableEvent(e *eventlog.Event) string {
	var body *eventlog.BodyError
	if e.Type == eventlog.NoAction {
		if e.PCR >= 32 {
			return fmt.Sprintf("it names PCR %d", uint32(e.PCR))
		}
		return ""
	}
	switch e.Type {
	case eventlog.PlatformFirmwareBlob, eventlog.SCRTMContents:
		if _, err := e.Blob(); errors.As(err, &body) {
			return body.Cause
		}
	case eventlog.BootServicesApplication, eventlog.BootServicesDriver, eventlog.RuntimeServicesDriver:
		if _, err := e.Image(); errors.As(err, &body) {
			return body.Cause
		}
	case eventlog.GPTEvent:
		if len(e.Data) == 0 {
			return ""
		}
		g, err := e.GPT()
		if errors.As(err, &body) {
			return body.Cause
		}
		for _, p := range g.Partitions {
			if p.ASCIIName() && !quotable(p.Name) {
				return fmt.Sprintf("the partition name %q breaks its YAML", p.Name)
			}
		}
	case eventlog.EFIAction, eventlog.PostCode:
		text, _, _ := bytes.Cut(e.Data, []byte{0})
		if (e.Type != eventlog.PostCode || len(e.Data) != 16) && (!literal(text) || bytes.ContainsAny(text, "\a\b\v\f\x1b")) {
			return "its text has characters that YAML does not allow"
		}
	case eventlog.IPL:
		if !literal(e.Data) {
			return "its text has characters that YAML does not allow"
		}
	}
	if e.IsVariable() {
		v, err := e.Variable()
		if errors.As(err, &body) {
			return body.Cause
		}
		return unreadableVariable(e, &v)
	}
	return ""
}

func unreadableVariable(e *eventlog.Event, v *eventlog.Variable) string {
	if !v.ASCIIName() {
		return fmt.Sprintf("the variable name %q is not ASCII", v.Name)
	}
	switch e.Type {
	case eventlog.VariableDriverConfig:
		if v.Name == "SecureBoot" && len(v.Data) > 1 {
			return fmt.Sprintf("SecureBoot has %d octets instead of 1", len(v.Data))
		}
	case eventlog.VariableAuthority:
		switch v.Name {
		case "MokListTrusted":
			if len(v.Data) > 1 {
				return fmt.Sprintf("MokListTrusted has %d octets instead of 1", len(v.Data))
			}
		case "db", "Shim":
			if _, ok := v.Authority(); !ok {
				return fmt.Sprintf("%s has %d octets, too few for a key", v.Name, len(v.Data))
			}
		case "SbatLevel":
			if !literal(v.Data) {
				return "SbatLevel has characters that YAML does not allow"
			}
		}
	case eventlog.VariableBoot, eventlog.VariableBoot2:
		switch {
		case v.Name == "BootOrder":
			if len(v.Data)%2 != 0 {
				return fmt.Sprintf("BootOrder has %d octets, an odd number", len(v.Data))
			}
		case v.IsBootOption():
			option, ok := v.LoadOption()
			if !ok {
				return v.Name + " ends before its description does"
			}
			if isASCII(option.Description) && !quotable(option.Description) {
				return fmt.Sprintf("the description %q of %s breaks its YAML", option.Description, v.Name)
			}
		}
	}
	return ""
}

// literal tells whether octets can stand in a YAML literal after tpm2_eventlog
// has escaped them: UTF-8, printable, no line break but the line feed.
func literal(data []byte) bool {
	for at := 0; at < len(data); {
		r, size := utf8.DecodeRune(data[at:])
		at += size
		switch {
		case r == utf8.RuneError && size == 1:
			return false
		case r < 0x20 && !strings.ContainsRune("\x00\a\b\t\n\v\f\r\x1b", r), r == 0x7f:
			return false
		case r >= 0x80 && r < 0xa0, r == 0x2028, r == 0x2029, r == 0xfeff, r == 0xfffe, r == 0xffff:
			return false
		}
	}
	return true
}

func isASCII(s string) bool {
	for _, c := range []byte(s) {
		if c >= 0x80 {
			return false
		}
	}
	return true
}

// quotable tells whether an ASCII text can stand between the double quotes that
// tpm2_eventlog puts around it without escaping.
func quotable(s string) bool {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c < 0x20 || c == 0x7f || c == '"':
			return false
		case c == '\\':
			i++
			digits := 0
			switch {
			case i == len(s):
				return false
			case s[i] == 'x':
				digits = 2
			case s[i] == 'u':
				digits = 4
			case s[i] == 'U':
				digits = 8
			case !strings.ContainsRune("0abt\tnvfre \"/\\N_LP", rune(s[i])):
				return false
			}
			if digits > 0 {
				if i+1+digits > len(s) || !isHex(strings.ToLower(s[i+1:i+1+digits])) {
					return false
				}
				i += digits
			}
		}
	}
	return true
}

// keyText returns the entry of a signature database as the verifier has it:
// hexadecimal digits, unless YAML takes them for a number, which equals no
// text.
func keyText(data []byte) (string, bool) {
	s := hex.EncodeToString(data)
	return s, !yamlNumber(s)
}

// yamlNumber tells whether lower-case hexadecimal digits are an integer of YAML
// 1.1, or nothing at all.
func yamlNumber(s string) bool {
	if s == "" {
		return true
	}
	only := func(s, set string) bool { return strings.Trim(s, set) == "" }
	switch {
	case strings.HasPrefix(s, "0b"):
		return len(s) > 2 && only(s[2:], "01")
	case s[0] == '0':
		return only(s, "01234567")
	}
	return only(s, "0123456789")
}
