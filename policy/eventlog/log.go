// Package eventlog reads the log of a measured boot: the list of everything
// that firmware and boot loaders have extended into the TPM's registers (PCRs)
// before the kernel ran, as Linux shows it in
// /sys/kernel/security/tpm0/binary_bios_measurements.
//
// Format: TCG PC Client Platform Firmware Profile (PFP) 1.06, chapter 10, both
// the crypto-agile form (several hash algorithms, "Spec ID Event03") and the
// older SHA-1 form.
//
// Bytes go in, events come out. Nothing in a log is trusted: it is a claim,
// worth something only after [Log.Replay] has given the very PCR values that a
// verified quote holds. Not even then are an event's data covered by its
// digests, except for the types for which the specification says so.
//
// Parsing survives any input: it never panics, it allocates no more than a
// small multiple of the input's length, and every failure is an [*Error] with
// the offset.
package eventlog

// MaxSize is the largest log, in octets, that [Parse] and [Read] take. Real
// logs are 2 to 100 kB.
const MaxSize = 16 << 20

// maxEvents bounds the number of events. Real logs hold 20 to 500.
const maxEvents = 1 << 17

// pcrCount is one more than the highest PCR that an event may extend; TPMs
// have 24, the specification of the log leaves room for 32.
const pcrCount = 32

// Log is a parsed event log. It refers to the octets it was parsed from;
// neither they nor its slices may be changed.
type Log struct {
	// Banks names the hash algorithms of the log's digests ("sha1",
	// "sha256", …) in the order of the header; ["sha1"] for a log in SHA-1
	// form.
	Banks []string
	// Events are all events in the order of the log, the header included.
	Events []Event
	// Header is the specification header of a crypto-agile log, nil for a
	// log in SHA-1 form.
	Header *SpecID
	// Size is the number of octets that were parsed.
	Size int
	// Padding is the number of octets after the last event, all 0x00 or all
	// 0xFF: logs copied from a firmware table end so, those of the kernel
	// do not.
	Padding int
	padding []byte
}

// SpecID is the header of a crypto-agile log (PFP 10.4.5.1,
// TCG_EfiSpecIDEvent).
type SpecID struct {
	// Signature is the form's name, "Spec ID Event03".
	Signature string
	// PlatformClass is 0 for clients, 1 for servers.
	PlatformClass uint32
	// Major, Minor and Errata are the version of the profile, 2.0 …
	Major, Minor, Errata byte
	// UintnSize is 1 for 32-bit, 2 for 64-bit firmware.
	UintnSize byte
	// Algorithms are the banks with their digest sizes.
	Algorithms []SpecAlgorithm
	// VendorInfo is for the firmware's maker to fill.
	VendorInfo []byte
}

// SpecAlgorithm is one bank as the header names it.
type SpecAlgorithm struct {
	ID   Algorithm
	Size int
}

// Digest is what one event extends into one bank.
type Digest struct {
	// Bank is the algorithm's name, as in Log.Banks.
	Bank string
	// Value has the algorithm's size.
	Value []byte
}

// Event is one entry of the log.
type Event struct {
	// Num counts the events of the log from 0; the header of a crypto-agile
	// log is event 0, as Keylime counts.
	Num int
	// Offset is the event's first octet in the log.
	Offset int
	// PCR is the register that was extended. Events of type [NoAction] extend
	// none and may name a register that does not exist.
	PCR int
	// Type tells the form of Data.
	Type Type
	// Digests holds one digest for each bank that the event names.
	Digests []Digest
	// Data is the event's own data.
	Data []byte
}

// Digest returns the event's digest for a bank, nil if it has none.
func (e *Event) Digest(bank string) []byte {
	for i := range e.Digests {
		if e.Digests[i].Bank == bank {
			return e.Digests[i].Value
		}
	}
	return nil
}

// HasBank tells whether the log has digests of the bank.
func (l *Log) HasBank(bank string) bool {
	for _, b := range l.Banks {
		if b == bank {
			return true
		}
	}
	return false
}
