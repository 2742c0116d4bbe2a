package eventlog

import "encoding/binary"

// Signature is one entry of a signature database (UEFI 2.10, 32.4.1,
// EFI_SIGNATURE_DATA): a certificate or a digest, by the list's type.
type Signature struct {
	Owner GUID
	Data  []byte
}

// SignatureList is a list of entries of one type (EFI_SIGNATURE_LIST).
type SignatureList struct {
	Type GUID
	// ListSize, HeaderSize and Size are octets of the whole list, of its own
	// header and of each entry.
	ListSize, HeaderSize, Size uint32
	Keys                       []Signature
	// Cut is true when the list promises more entries than the variable
	// holds; Keys then ends before the first incomplete one.
	Cut bool
}

// The types of signature lists that Keylime knows: X.509 certificates and
// SHA-256 digests of images (EFI_CERT_X509_GUID, EFI_CERT_SHA256_GUID).
const (
	SignatureX509   = "a5c059a1-94e4-4aa7-87b5-ab155c2bf072"
	SignatureSHA256 = "c1c41626-504c-4092-aca9-41f936934328"
)

// SignatureLists decodes the content of PK, KEK, db or dbx. It goes as far as
// tpm2_eventlog goes, so that a policy sees what Keylime sees: a list that
// contradicts itself ends the walk and complete is false; what came before,
// and the list's own head, stay.
func (v *Variable) SignatureLists() (lists []SignatureList, complete bool) {
	const head = 28
	// The lists are read to the end of the event, not of the variable.
	b := v.Data[:len(v.Data):len(v.Data)]
	if len(v.Rest) > 0 {
		b = append(b, v.Rest...)
	}
	for len(b) > 0 {
		if len(b) < head {
			return lists, false
		}
		l := SignatureList{
			Type:     GUID(b[:16]),
			ListSize: binary.LittleEndian.Uint32(b[16:]), HeaderSize: binary.LittleEndian.Uint32(b[20:]),
			Size: binary.LittleEndian.Uint32(b[24:]),
		}
		if l.Size < 16 {
			return lists, false
		}
		lists = append(lists, l)
		last := &lists[len(lists)-1]
		entries := int64(l.ListSize) - head - int64(l.HeaderSize)
		start := head + int64(l.HeaderSize)
		if start+int64(l.Size) > int64(len(b)) || entries < 0 || entries%int64(l.Size) != 0 {
			return lists, false
		}
		for range entries / int64(l.Size) {
			if start+int64(l.Size) > int64(len(b)) {
				last.Cut = true
				return lists, false
			}
			entry := b[start : start+int64(l.Size)]
			last.Keys = append(last.Keys, Signature{Owner: GUID(entry[:16]), Data: entry[16:len(entry):len(entry)]})
			start += int64(l.Size)
		}
		b = b[start:]
	}
	return lists, true
}

// VendorDB decodes the content of vendor_db as shim measures it into an event
// of type EV_EFI_VARIABLE_AUTHORITY: pairs of an owner's GUID and a
// certificate, which may have up to 100 octets of something between them
// (PROTOCOL.md 12.3). It returns nil when not even one pair is found.
func (v *Variable) VendorDB() []Signature {
	const search = 100
	var out []Signature
	b := v.Data
	for len(b) > 16 {
		begin := -1
		for i := 16; i < min(16+search, len(b)-2); i++ {
			if b[i] == 0x30 && b[i+1] == 0x82 {
				begin = i
				break
			}
		}
		if begin < 0 || begin+4 > len(b) {
			break
		}
		end := begin + 4 + int(binary.BigEndian.Uint16(b[begin+2:]))
		if end > len(b) {
			break
		}
		out = append(out, Signature{Owner: GUID(b[:16]), Data: b[16:end:end]})
		b = b[end:]
	}
	return out
}

// Authority decodes the content of the other variables of an event of type
// EV_EFI_VARIABLE_AUTHORITY that hold one entry (db, Shim); false for fewer
// than 16 octets.
func (v *Variable) Authority() (Signature, bool) {
	if len(v.Data) < 16 {
		return Signature{}, false
	}
	return Signature{Owner: GUID(v.Data[:16]), Data: v.Data[16:]}, true
}
