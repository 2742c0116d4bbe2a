package eventlog

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strconv"
)

// JSON returns the log in the form that Keylime's verifier works with
// (PROTOCOL.md 12.2): what tpm2_eventlog 5.4 prints, enriched and as JSON, with
// the same keys in the same order.
//
// It differs where tpm2_eventlog or Keylime's treatment of it is wrong:
//   - texts are what the log holds: without Keylime's unescaping, which turns
//     \EFI\fedora into \EFI, form feed, edora, and without the quotes that
//     stand around line breaks in the old form;
//   - events of type EV_NO_ACTION extend nothing, and PCR 0 starts with the
//     startup locality, so the value of PCR 0 is the TPM's;
//   - octets shown as hexadecimal digits are never cut at 1024, and digits are
//     always a text;
//   - logs in SHA-1 form have the same shape, where tpm2_eventlog repeats keys;
//   - types newer than tpm2_eventlog 5.4 have their names.
func (l *Log) JSON() []byte {
	events := make([]any, len(l.Events))
	for i := range l.Events {
		events[i] = l.eventJSON(&l.Events[i])
	}
	var pcrs, all object
	for _, bank := range l.Banks {
		values, err := l.Replay(bank)
		if err != nil || len(values) == 0 {
			continue
		}
		var registers object
		numbers := make([]int, 0, len(values))
		for n := range values {
			numbers = append(numbers, n)
		}
		slices.Sort(numbers)
		for _, n := range numbers {
			registers = append(registers, field{strconv.Itoa(n), new(big.Int).SetBytes(values[n])})
		}
		pcrs = append(pcrs, field{bank, registers})
		sums := []any{}
		for _, sum := range aggregates(bank, values) {
			sums = append(sums, sum)
		}
		all = append(all, field{bank, sums})
	}
	var b bytes.Buffer
	writeJSON(&b, object{{"version", 2}, {"events", events}, {"pcrs", pcrs}, {"boot_aggregates", all}})
	return b.Bytes()
}

// object is a JSON object that keeps the order of its keys.
type object []field

type field struct {
	key   string
	value any
}

func writeJSON(b *bytes.Buffer, value any) {
	switch v := value.(type) {
	case object:
		b.WriteByte('{')
		for i, f := range v {
			if i > 0 {
				b.WriteString(", ")
			}
			writeJSON(b, f.key)
			b.WriteString(": ")
			writeJSON(b, f.value)
		}
		b.WriteByte('}')
	case []any:
		b.WriteByte('[')
		for i, e := range v {
			if i > 0 {
				b.WriteString(", ")
			}
			writeJSON(b, e)
		}
		b.WriteByte(']')
	case string:
		e := json.NewEncoder(b)
		e.SetEscapeHTML(false)
		_ = e.Encode(v) // a string always encodes, into a buffer that takes all
		b.Truncate(b.Len() - 1)
	case nil:
		b.WriteString("null")
	default:
		fmt.Fprintf(b, "%d", v)
	}
}

func (l *Log) eventJSON(e *Event) object {
	o := object{{"EventNum", e.Num}, {"PCRIndex", e.PCR}, {"EventType", unknownOr(e.Type)}}
	if e.Num == 0 && l.Header != nil {
		return append(o, field{"Digest", hex.EncodeToString(make([]byte, 20))}, field{"EventSize", len(e.Data)},
			field{"SpecID", []any{l.Header.json()}})
	}
	o = append(o, field{"DigestCount", len(e.Digests)})
	if len(e.Digests) == 0 {
		o = append(o, field{"Digests", nil})
	} else {
		digests := make([]any, len(e.Digests))
		for i, d := range e.Digests {
			digests[i] = object{{"AlgorithmId", d.Bank}, {"Digest", hex.EncodeToString(d.Value)}}
		}
		o = append(o, field{"Digests", digests})
	}
	o = append(o, field{"EventSize", len(e.Data)})
	if len(e.Data) > 0 {
		o = append(o, field{"Event", e.bodyJSON()})
	}
	return o
}

func unknownOr(t Type) string {
	if name := t.name(); name != "" {
		return name
	}
	return "Unknown event type"
}

func (h *SpecID) json() object {
	algorithms := make([]any, len(h.Algorithms))
	for i, a := range h.Algorithms {
		algorithms[i] = object{{fmt.Sprintf("Algorithm[%d]", i), nil}, {"algorithmId", a.ID.String()}, {"digestSize", a.Size}}
	}
	o := object{
		{"Signature", h.Signature}, {"platformClass", h.PlatformClass},
		{"specVersionMinor", h.Minor}, {"specVersionMajor", h.Major}, {"specErrata", h.Errata}, {"uintnSize", h.UintnSize},
		{"numberOfAlgorithms", len(h.Algorithms)}, {"Algorithms", algorithms}, {"vendorInfoSize", len(h.VendorInfo)},
	}
	if len(h.VendorInfo) > 0 {
		o = append(o, field{"vendorInfo", hex.EncodeToString(h.VendorInfo)})
	}
	return o
}

// bodyJSON decodes the event's data; data without the form of their type
// become hexadecimal digits.
func (e *Event) bodyJSON() any {
	switch e.Type {
	case VariableDriverConfig, VariableBoot, VariableBoot2, VariableAuthority:
		if v, err := e.Variable(); err == nil {
			return e.variableJSON(&v)
		}
	case PostCode, SCRTMContents, PlatformFirmwareBlob, PlatformFirmwareBlob2:
		if e.Type == PostCode && len(e.Data) != 16 {
			return cText(e.Data)
		}
		if b, err := e.Blob(); err == nil {
			o := object{{"BlobBase", b.Base}, {"BlobLength", b.Length}}
			if e.Type == PlatformFirmwareBlob2 {
				o = append(object{{"BlobDescriptionSize", len(b.Description)}, {"BlobDescription", hex.EncodeToString(b.Description)}}, o...)
			}
			return o
		}
	case EFIAction, HCRTM:
		return cText(e.Data)
	case IPL:
		return object{{"String", e.Text()}}
	case BootServicesApplication, BootServicesDriver, RuntimeServicesDriver:
		if i, err := e.Image(); err == nil {
			return object{{"ImageLocationInMemory", i.Location}, {"ImageLengthInMemory", i.Length}, {"ImageLinkTimeAddress", i.LinkTime},
				{"LengthOfDevicePath", i.PathLength}, {"DevicePath", i.DevicePath()}}
		}
	case GPTEvent, GPTEvent2:
		if g, err := e.GPT(); err == nil {
			return g.json()
		}
	case NoAction:
		if locality, ok := e.Locality(); ok {
			return object{{"StartupLocality", locality}}
		}
	}
	return hex.EncodeToString(e.Data)
}

// cText returns the text up to the first NUL.
func cText(b []byte) string {
	return string(bytes.ToValidUTF8([]byte(cstring(b)), []byte("\ufffd")))
}

func (e *Event) variableJSON(v *Variable) object {
	o := object{{"VariableName", v.GUID.String()}, {"UnicodeNameLength", v.nameUnits}, {"VariableDataLength", len(v.Data)}, {"UnicodeName", v.Name}}
	if content, ok := e.contentJSON(v); ok {
		return append(o, field{"VariableData", content})
	}
	if len(v.Data) == 0 {
		return o
	}
	return append(o, field{"VariableData", hex.EncodeToString(v.Data)})
}

// contentJSON decodes the content of a variable; false if it has no form known.
func (e *Event) contentJSON(v *Variable) (any, bool) {
	switch e.Type {
	case VariableDriverConfig:
		switch v.Name {
		case "PK", "KEK", "db", "dbx":
			return listsJSON(v), true
		case "SecureBoot":
			return enabledJSON(v)
		}
	case VariableAuthority:
		switch v.Name {
		case "MokListTrusted":
			return enabledJSON(v)
		case "db", "Shim":
			if s, ok := v.Authority(); ok {
				return []any{s.json()}, true
			}
		case "vendor_db":
			if list := v.VendorDB(); len(list) > 0 {
				return keysJSON(list), true
			}
		case "SbatLevel":
			text := Event{Data: v.Data}
			return object{{"String", text.Text()}}, true
		}
	case VariableBoot, VariableBoot2:
		if v.Name == "BootOrder" && len(v.Data)%2 == 0 {
			if len(v.Data) == 0 {
				return nil, true
			}
			names := []any{}
			for i := 0; i < len(v.Data); i += 2 {
				names = append(names, fmt.Sprintf("Boot%02x%02x", v.Data[i+1], v.Data[i]))
			}
			return names, true
		}
		if option, ok := v.LoadOption(); ok && v.IsBootOption() {
			return object{{"Enabled", yesNo(option.Attributes&1 != 0)}, {"FilePathListLength", option.PathLength},
				{"Description", option.Description}, {"DevicePath", hex.EncodeToString(option.Path)}}, true
		}
	}
	return nil, false
}

func enabledJSON(v *Variable) (any, bool) {
	if len(v.Data) > 1 {
		return nil, false
	}
	return object{{"Enabled", yesNo(len(v.Data) == 1 && v.Data[0] != 0)}}, true
}

func yesNo(yes bool) string {
	if yes {
		return "Yes"
	}
	return "No"
}

func listsJSON(v *Variable) any {
	lists, _ := v.SignatureLists()
	if len(lists) == 0 {
		return nil
	}
	out := make([]any, len(lists))
	for i, l := range lists {
		out[i] = object{{"SignatureType", l.Type.String()}, {"SignatureListSize", l.ListSize}, {"SignatureHeaderSize", l.HeaderSize},
			{"SignatureSize", l.Size}, {"Keys", keysJSON(l.Keys)}}
	}
	return out
}

func keysJSON(keys []Signature) any {
	if len(keys) == 0 {
		return nil
	}
	out := make([]any, len(keys))
	for i, k := range keys {
		out[i] = k.json()
	}
	return out
}

func (s Signature) json() object {
	return object{{"SignatureOwner", s.Owner.String()}, {"SignatureData", hex.EncodeToString(s.Data)}}
}

func (g *GPT) json() object {
	var partitions any
	if len(g.Partitions) > 0 {
		list := make([]any, len(g.Partitions))
		for i, p := range g.Partitions {
			list[i] = object{{"PartitionTypeGUID", p.Type.String()}, {"UniquePartitionGUID", p.Unique.String()}, {"StartingLBA", p.First},
				{"EndingLBA", p.Last}, {"Attributes", p.Attribute}, {"PartitionName", p.Name}}
		}
		partitions = list
	}
	return object{
		{"Header", object{{"Signature", cText([]byte(g.Signature))}, {"Revision", g.Revision}, {"HeaderSize", g.HeaderSize}, {"HeaderCRC32", g.HeaderCRC},
			{"MyLBA", g.MyLBA}, {"AlternateLBA", g.AlternateLBA}, {"FirstUsableLBA", g.FirstUsable}, {"LastUsableLBA", g.LastUsable},
			{"DiskGUID", g.DiskGUID.String()}, {"PartitionEntryLBA", g.PartitionEntryLBA}, {"NumberOfPartitionEntry", g.PartitionEntries},
			{"SizeOfPartitionEntry", g.PartitionEntrySize}, {"PartitionEntryArrayCRC32", g.ListCRC}}},
		{"NumberOfPartitions", len(g.Partitions)}, {"Partitions", partitions},
	}
}
