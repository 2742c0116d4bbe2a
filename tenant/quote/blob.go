package quote

import (
	"encoding/binary"
	"fmt"

	"github.com/google/go-tpm/tpm2"
)

// Selection names registers of one bank.
type Selection struct {
	// Bank is sha1, sha256, sha384 or sha512.
	Bank string
	// PCRs are register numbers, 0 to 23, in ascending order.
	PCRs []int
}

// PCRBlob is the third part of a quote: which registers were quoted, and
// their values.
type PCRBlob struct {
	// Selections are at most 16.
	Selections []Selection
	// Values are the registers' values, selection after selection, each in
	// ascending order of register numbers.
	Values [][]byte
}

// The PCR blob is the little-endian memory image of a TPML_PCR_SELECTION, a
// count, and that many TPML_DIGEST (PROTOCOL.md 5.2). Sizes in octets.
const (
	slots         = 16                                    // selections in a TPML_PCR_SELECTION
	slotSize      = 8                                     // u16 hash, u8 size, 4 × u8 select, 1 × padding
	selectOctets  = 3                                     // octets of select in use: 24 registers
	listValues    = 8                                     // values in a TPML_DIGEST
	valueRoom     = 64                                    // room for one value
	listSize      = 4 + listValues*(2+valueRoom)          // u32 count, 8 × (u16 size, 64 octets)
	selectionSize = 4 + slots*slotSize                    // u32 count, 16 slots
	headSize      = selectionSize + 4                     // and the u32 number of lists
	maxLists      = slots * selectOctets * 8 / listValues // all registers of 16 banks
	maxPCR        = selectOctets*8 - 1
)

// ParsePCRBlob reads a PCR blob and demands that nothing but a PCR blob is
// there: every octet that the layout leaves unused must be zero, save the last
// of each slot, which old agents leave as they found it in memory.
//
// It fails when the blob is cut short or too long, names a bank that Keylime
// does not know, has a size of select other than 0 and 3, or when number and
// sizes of the values do not fit the registers selected.
func ParsePCRBlob(data []byte) (PCRBlob, error) {
	if len(data) < headSize {
		return PCRBlob{}, fmt.Errorf("PCR blob is cut short: %d bytes, at least %d are needed", len(data), headSize)
	}
	lists := binary.LittleEndian.Uint32(data[selectionSize:])
	if lists > maxLists || len(data) != headSize+int(lists)*listSize {
		return PCRBlob{}, fmt.Errorf("PCR blob has %d bytes and announces %d lists of %d bytes after the first %d", len(data), lists, listSize, headSize)
	}
	selections, err := parseSelections(data[:selectionSize])
	if err != nil {
		return PCRBlob{}, err
	}
	var values [][]byte
	for i := range int(lists) {
		more, err := parseValues(data[headSize+i*listSize:][:listSize])
		if err != nil {
			return PCRBlob{}, fmt.Errorf("list %d of the PCR blob: %w", i, err)
		}
		values = append(values, more...)
	}
	blob := PCRBlob{Selections: selections, Values: values}
	if err := blob.fits(); err != nil {
		return PCRBlob{}, err
	}
	return blob, nil
}

// parseSelections reads the count and the 16 slots.
func parseSelections(data []byte) ([]Selection, error) {
	count := binary.LittleEndian.Uint32(data)
	if count == 0 || count > slots {
		return nil, fmt.Errorf("PCR blob has %d selections instead of 1 to %d", count, slots)
	}
	var selections []Selection
	for i := range slots {
		slot := data[4+i*slotSize:][:slotSize]
		if i >= int(count) {
			if !zero(slot[:slotSize-1]) {
				return nil, fmt.Errorf("PCR blob uses slot %d but announces %d selections", i, count)
			}
			continue
		}
		id := tpm2.TPMAlgID(binary.LittleEndian.Uint16(slot))
		bank, known := hashByID(id)
		if !known {
			return nil, fmt.Errorf("PCR blob names the bank %#04x, which Keylime does not know", uint16(id))
		}
		size, selected := slot[2], slot[3:slotSize-1]
		if size != 0 && size != selectOctets {
			return nil, fmt.Errorf("PCR blob has a selection of %d octets instead of %d", size, selectOctets)
		}
		if !zero(selected[size:]) {
			return nil, fmt.Errorf("PCR blob selects registers beyond the %d octets it announces", size)
		}
		selections = append(selections, Selection{Bank: bank.name, PCRs: selectedPCRs(selected[:size])})
	}
	return selections, nil
}

// selectedPCRs are the registers of a pcrSelect: bit i of octet j is PCR 8j+i.
func selectedPCRs(octets []byte) []int {
	var pcrs []int
	for n := range len(octets) * 8 {
		if octets[n/8]&(1<<(n%8)) != 0 {
			pcrs = append(pcrs, n)
		}
	}
	return pcrs
}

// parseValues reads a list of at most 8 values.
func parseValues(data []byte) ([][]byte, error) {
	count := binary.LittleEndian.Uint32(data)
	if count > listValues {
		return nil, fmt.Errorf("it announces %d values, at most %d fit", count, listValues)
	}
	values := make([][]byte, 0, count)
	for i := range listValues {
		entry := data[4+i*(2+valueRoom):][:2+valueRoom]
		size, room := binary.LittleEndian.Uint16(entry), entry[2:]
		switch {
		case i >= int(count) && !zero(entry):
			return nil, fmt.Errorf("it announces %d values but has more", count)
		case i >= int(count):
		case size > valueRoom:
			return nil, fmt.Errorf("value %d has %d bytes, at most %d fit", i, size, valueRoom)
		case !zero(room[size:]):
			return nil, fmt.Errorf("value %d has more bytes than the %d it announces", i, size)
		default:
			values = append(values, append([]byte(nil), room[:size]...))
		}
	}
	return values, nil
}

// fits says whether the values are as many and as long as the selections say.
func (b PCRBlob) fits() error {
	next := 0
	for _, s := range b.Selections {
		bank, known := hashByName(s.Bank)
		if !known {
			return fmt.Errorf("unknown PCR bank %q", s.Bank)
		}
		for _, n := range s.PCRs {
			if next == len(b.Values) {
				return fmt.Errorf("PCR %d of bank %s is selected, but its value is missing", n, s.Bank)
			}
			if len(b.Values[next]) != bank.hash.Size() {
				return fmt.Errorf("PCR %d of bank %s has a value of %d bytes instead of %d", n, s.Bank, len(b.Values[next]), bank.hash.Size())
			}
			next++
		}
	}
	if next != len(b.Values) {
		return fmt.Errorf("PCR blob has %d values for %d registers", len(b.Values), next)
	}
	return nil
}

// EncodePCRBlob writes a PCR blob as agents do: lists of 8 values, the last
// one as long as need be. It fails when the values do not fit the selections,
// or a register's number is not 0 to 23 or not in ascending order.
func EncodePCRBlob(blob PCRBlob) ([]byte, error) {
	if len(blob.Selections) == 0 || len(blob.Selections) > slots {
		return nil, fmt.Errorf("%d selections do not fit a PCR blob: 1 to %d do", len(blob.Selections), slots)
	}
	if err := blob.fits(); err != nil {
		return nil, err
	}
	lists := (len(blob.Values) + listValues - 1) / listValues
	out := make([]byte, headSize+lists*listSize)
	le := binary.LittleEndian
	le.PutUint32(out, uint32(len(blob.Selections)))
	for i, s := range blob.Selections {
		slot := out[4+i*slotSize:]
		bank, _ := hashByName(s.Bank) // known: fits has looked
		le.PutUint16(slot, uint16(bank.id))
		slot[2] = selectOctets
		last := -1
		for _, n := range s.PCRs {
			if n <= last || n > maxPCR {
				return nil, fmt.Errorf("PCR %d of bank %s: registers must be 0 to %d in ascending order", n, s.Bank, maxPCR)
			}
			slot[3+n/8] |= 1 << (n % 8)
			last = n
		}
	}
	le.PutUint32(out[selectionSize:], uint32(lists))
	for i, value := range blob.Values {
		list := out[headSize+i/listValues*listSize:]
		le.PutUint32(list, uint32(i%listValues+1))
		entry := list[4+i%listValues*(2+valueRoom):]
		le.PutUint16(entry, uint16(len(value)))
		copy(entry[2:], value)
	}
	return out, nil
}

// zero says whether all octets are zero.
func zero(data []byte) bool {
	for _, b := range data {
		if b != 0 {
			return false
		}
	}
	return true
}
