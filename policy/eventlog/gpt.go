package eventlog

import "encoding/binary"

// GPT is the data of the event that measures the partition table (PFP 10.2.4,
// UEFI_GPT_DATA; UEFI 2.10, 5.3).
type GPT struct {
	// Signature is "EFI PART".
	Signature                                     string
	Revision, HeaderSize, HeaderCRC               uint32
	MyLBA, AlternateLBA, FirstUsable, LastUsable  uint64
	DiskGUID                                      GUID
	PartitionEntryLBA                             uint64
	PartitionEntries, PartitionEntrySize, ListCRC uint32
	Partitions                                    []Partition
}

// Partition is one used entry of the table.
type Partition struct {
	Type, Unique           GUID
	First, Last, Attribute uint64
	Name                   string
	// ascii is true when the name's field holds ASCII only, to its very end.
	ascii bool
}

// ASCIIName tells whether the name's field holds ASCII characters only;
// tpm2_eventlog prints any other as (null).
func (p *Partition) ASCIIName() bool { return p.ascii }

const (
	gptHead      = 92 + 8
	gptPartition = 128
)

// GPT decodes the data of a GPT event. Too few octets, or another number of
// partitions than stated, give [*BodyError].
func (e *Event) GPT() (GPT, error) {
	b := e.Data
	if len(b) < gptHead {
		return GPT{}, e.bad("%d octets are too few for a partition table", len(b))
	}
	le := binary.LittleEndian
	g := GPT{
		Signature: string(b[:8]), Revision: le.Uint32(b[8:]), HeaderSize: le.Uint32(b[12:]), HeaderCRC: le.Uint32(b[16:]),
		MyLBA: le.Uint64(b[24:]), AlternateLBA: le.Uint64(b[32:]), FirstUsable: le.Uint64(b[40:]), LastUsable: le.Uint64(b[48:]),
		DiskGUID: GUID(b[56:72]), PartitionEntryLBA: le.Uint64(b[72:]),
		PartitionEntries: le.Uint32(b[80:]), PartitionEntrySize: le.Uint32(b[84:]), ListCRC: le.Uint32(b[88:]),
	}
	n := le.Uint64(b[92:])
	b = b[gptHead:]
	if n > uint64(len(b)/gptPartition) || n*gptPartition != uint64(len(b)) {
		return GPT{}, e.bad("%d partitions in %d octets, each has %d", n, len(b), gptPartition)
	}
	for ; len(b) > 0; b = b[gptPartition:] {
		p := Partition{
			Type: GUID(b[:16]), Unique: GUID(b[16:32]), First: le.Uint64(b[32:]), Last: le.Uint64(b[40:]), Attribute: le.Uint64(b[48:]),
			Name: utf16Text(b[56:gptPartition]), ascii: true,
		}
		for i := 56; i < gptPartition; i += 2 {
			p.ascii = p.ascii && b[i] < 0x80 && b[i+1] == 0
		}
		g.Partitions = append(g.Partitions, p)
	}
	return g, nil
}
