package eventlog

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"unicode/utf16"
)

// GUID is a UEFI GUID as stored: the first three groups little-endian.
type GUID [16]byte

// String returns the usual form in lower case,
// "8be4df61-93ca-11d2-aa0d-00e098032b8c".
func (g GUID) String() string {
	var b [36]byte
	reordered := [16]byte{g[3], g[2], g[1], g[0], g[5], g[4], g[7], g[6]}
	copy(reordered[8:], g[8:])
	hex.Encode(b[0:8], reordered[0:4])
	hex.Encode(b[9:13], reordered[4:6])
	hex.Encode(b[14:18], reordered[6:8])
	hex.Encode(b[19:23], reordered[8:10])
	hex.Encode(b[24:36], reordered[10:16])
	b[8], b[13], b[18], b[23] = '-', '-', '-', '-'
	return string(b[:])
}

// Variable is the data of the events that measure an EFI variable (PFP
// 10.2.6, UEFI_VARIABLE_DATA).
type Variable struct {
	// GUID is the variable's vendor, Name its name up to the first NUL.
	GUID GUID
	Name string
	// Data is the variable's content.
	Data []byte
	// Rest is what follows Data in the event, which should be nothing.
	Rest []byte
	// nameUnits is the length of the name in UTF-16 units, NULs included.
	nameUnits int
	// ascii is true when the name holds ASCII only, to its very end.
	ascii bool
}

// ASCIIName tells whether the name holds ASCII characters only; tpm2_eventlog
// refuses a log with any other.
func (v *Variable) ASCIIName() bool { return v.ascii }

// IsVariable tells whether the event's type measures an EFI variable.
func (e *Event) IsVariable() bool {
	switch e.Type {
	case VariableDriverConfig, VariableBoot, VariableBoot2, VariableAuthority:
		return true
	}
	return false
}

func (e *Event) bad(format string, args ...any) error {
	return &BodyError{Event: e.Num, Type: e.Type, Cause: fmt.Sprintf(format, args...)}
}

// Variable decodes the data of an event that measures an EFI variable. A name
// or content longer than the event gives [*BodyError].
func (e *Event) Variable() (Variable, error) {
	b := e.Data
	if len(b) < 32 {
		return Variable{}, e.bad("%d octets are too few for an EFI variable", len(b))
	}
	v := Variable{GUID: GUID(b[:16]), ascii: true}
	units, size := binary.LittleEndian.Uint64(b[16:]), binary.LittleEndian.Uint64(b[24:])
	b = b[32:]
	if units > uint64(len(b))/2 {
		return Variable{}, e.bad("a variable name of %d characters in %d octets", units, len(b))
	}
	v.nameUnits = int(units)
	v.Name = utf16Text(b[:2*units])
	for i := 0; i < 2*int(units); i += 2 {
		v.ascii = v.ascii && b[i] < 0x80 && b[i+1] == 0
	}
	b = b[2*units:]
	if size > uint64(len(b)) {
		return Variable{}, e.bad("variable %q with %d octets of content in %d octets", v.Name, size, len(b))
	}
	v.Data, v.Rest = b[:size:size], b[size:]
	return v, nil
}

// utf16Text decodes UTF-16LE up to the first NUL.
func utf16Text(b []byte) string {
	units := make([]uint16, 0, len(b)/2)
	for i := 0; i+1 < len(b); i += 2 {
		u := binary.LittleEndian.Uint16(b[i:])
		if u == 0 {
			break
		}
		units = append(units, u)
	}
	return string(utf16.Decode(units))
}

// Image is the data of the events that measure a PE/COFF image (PFP 10.2.3,
// UEFI_IMAGE_LOAD_EVENT).
type Image struct {
	// Location, Length and LinkTime are addresses and octets in memory.
	Location, Length, LinkTime uint64
	// PathLength is the device path's length as the event states it; Path is
	// all that the event holds after it.
	PathLength uint64
	Path       []byte
}

// Image decodes the data of an event that measures an image. Too few octets
// give [*BodyError].
func (e *Event) Image() (Image, error) {
	b := e.Data
	if len(b) < 32 {
		return Image{}, e.bad("%d octets are too few for an image", len(b))
	}
	le := binary.LittleEndian
	return Image{le.Uint64(b), le.Uint64(b[8:]), le.Uint64(b[16:]), le.Uint64(b[24:]), b[32:]}, nil
}

// DevicePath returns the image's device path as text, or as hexadecimal digits
// when it is none.
func (i *Image) DevicePath() string {
	if i.PathLength <= uint64(len(i.Path)) {
		if text, err := DevicePath(i.Path[:i.PathLength]); err == nil {
			return text
		}
	}
	return hex.EncodeToString(i.Path)
}

// Blob is the data of the events that measure a part of the firmware (PFP
// 10.2.5, UEFI_PLATFORM_FIRMWARE_BLOB and …_BLOB2).
type Blob struct {
	// Description is text in the newer form, nil in the older.
	Description  []byte
	Base, Length uint64
}

// Blob decodes the data of a firmware event; [*BodyError] for too few octets.
func (e *Event) Blob() (Blob, error) {
	b, blob := e.Data, Blob{}
	if e.Type == PlatformFirmwareBlob2 {
		if len(b) == 0 || len(b) < 1+int(b[0]) {
			return Blob{}, e.bad("a description longer than the event")
		}
		blob.Description, b = b[1:1+int(b[0])], b[1+int(b[0]):]
	}
	if len(b) < 16 {
		return Blob{}, e.bad("%d octets are too few for the place of a firmware blob", len(b))
	}
	blob.Base, blob.Length = binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])
	return blob, nil
}

// LoadOption is the content of a variable Boot#### (UEFI 2.10, 3.1.3,
// EFI_LOAD_OPTION).
type LoadOption struct {
	Attributes  uint32
	PathLength  uint16
	Description string
	// Path is everything after the description: device paths and optional
	// data.
	Path []byte
}

// LoadOption decodes the content of a Boot#### variable; false for a content
// that ends before its description does.
func (v *Variable) LoadOption() (LoadOption, bool) {
	if len(v.Data) < 6 {
		return LoadOption{}, false
	}
	o := LoadOption{Attributes: binary.LittleEndian.Uint32(v.Data), PathLength: binary.LittleEndian.Uint16(v.Data[4:])}
	text := v.Data[6:]
	for i := 0; i+1 < len(text); i += 2 {
		if text[i] == 0 && text[i+1] == 0 {
			o.Description = utf16Text(text[:i])
			o.Path = text[i+2:]
			return o, true
		}
	}
	return LoadOption{}, false
}

// IsBootOption tells whether the name is Boot and four hexadecimal digits.
func (v *Variable) IsBootOption() bool {
	if len(v.Name) != 8 || v.Name[:4] != "Boot" {
		return false
	}
	for _, c := range []byte(v.Name[4:]) {
		if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F') {
			return false
		}
	}
	return true
}

// Text returns the data as text, without one NUL at the end. Data that are no
// valid UTF-8 come out with U+FFFD where they are not.
func (e *Event) Text() string {
	return string(bytes.ToValidUTF8(bytes.TrimSuffix(e.Data, []byte{0}), []byte("\ufffd")))
}

// Locality returns the startup locality if the event is the one that states
// it.
func (e *Event) Locality() (byte, bool) {
	if e.Type == NoAction && len(e.Data) > len(startupLocality) && bytes.HasPrefix(e.Data, []byte(startupLocality)) {
		return e.Data[len(startupLocality)], true
	}
	return 0, false
}
