// Package eventlog reads the log of a measured boot: the list of everything
// that firmware and boot loaders have extended into the TPM's registers (PCRs)
// before the kernel ran, as Linux shows it in
// /sys/kernel/security/tpm0/binary_bios_measurements.
//
// Format: TCG PC Client Platform Firmware Profile 1.06, chapter 10, both the
// crypto-agile form (several hash algorithms, "Spec ID Event03") and the older
// SHA-1 form.
//
// Bytes go in, events come out. Nothing in a log is trusted: it is a claim,
// worth something only after [Log.Replay] has given the very PCR values that a
// verified quote holds. Parsing survives any input: it never panics, it
// allocates no more than a small multiple of the input's length, and every
// failure is an *[Error] with the offset.
package eventlog

// MaxSize is the largest log, in octets, that [Parse] and [Read] take. Real
// logs are 2 to 100 kB; the kernel's own buffer is far smaller than this.
const MaxSize = 16 << 20

// Log is a parsed event log. Its slices must not be changed.
type Log struct {
	// Banks names the hash algorithms of the log's digests ("sha1",
	// "sha256", …) in the order of the header.
	Banks []string
	// Events are all events in the order of the log, the header included.
	Events []Event
	// Header is the specification header of a crypto-agile log, nil for a
	// log in SHA-1 form.
	Header *SpecID
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
	// PCR is the register that was extended.
	PCR int
	// Type tells the form of Data.
	Type Type
	// Digests holds one digest for each bank that the event names.
	Digests []Digest
	// Data is the event's own data; it is covered by the digests only for
	// some types.
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
