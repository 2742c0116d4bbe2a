package eventlog

import (
	"bytes"
	"encoding/hex"
)

// startupLocality begins the data of the event that tells from which locality
// the TPM was started (PFP 10.4.5.3).
const startupLocality = "StartupLocality\x00"

// StartupLocality returns the locality from which firmware started the TPM,
// which is the last octet of the start value of PCR 0: that of the event of
// this name, 4 if a hardware root of trust was measured (H-CRTM, TPM 2.0
// Library part 1, 34.3), else 0.
func (l *Log) StartupLocality() byte {
	for i := range l.Events {
		e := &l.Events[i]
		switch {
		case e.Type == NoAction && len(e.Data) > len(startupLocality) && bytes.HasPrefix(e.Data, []byte(startupLocality)):
			return e.Data[len(startupLocality)]
		case e.Type == HCRTM && e.PCR == 0:
			return 4
		case e.PCR == 0 && e.Type != NoAction:
			// Both come before anything else is measured into PCR 0.
			return 0
		}
	}
	return 0
}

// Replay returns the values that the PCRs of a bank have when they were
// extended as this log says, for the PCRs that occur in it. Events of type
// EV_NO_ACTION extend nothing. PCR 0 begins with the startup locality, all
// others with zeros.
//
// A log without that bank, or whose algorithm is unknown, gives [*BankError].
func (l *Log) Replay(bank string) (map[int][]byte, error) {
	if !l.HasBank(bank) {
		return nil, &BankError{Bank: bank, Banks: l.Banks}
	}
	h := NewHash(bank)
	if h == nil {
		return nil, &BankError{Bank: bank, Banks: l.Banks, Unknown: true}
	}
	pcrs := map[int][]byte{}
	for i := range l.Events {
		e := &l.Events[i]
		if e.Type == NoAction {
			continue
		}
		digest := e.Digest(bank)
		if digest == nil {
			continue
		}
		value, ok := pcrs[e.PCR]
		if !ok {
			value = make([]byte, h.Size())
			if e.PCR == 0 {
				value[len(value)-1] = l.StartupLocality()
			}
		}
		h.Reset()
		h.Write(value)
		h.Write(digest)
		pcrs[e.PCR] = h.Sum(value[:0])
	}
	return pcrs, nil
}

// BootAggregates returns the values that IMA may have measured as
// boot_aggregate: the hash, in lower-case hex, over PCRs 0-7 and the one over
// PCRs 0-9 of a bank, in this order (PROTOCOL.md 11.5). One whose PCRs do not
// all occur in the log is left out. Errors as [Log.Replay].
func (l *Log) BootAggregates(bank string) ([]string, error) {
	pcrs, err := l.Replay(bank)
	if err != nil {
		return nil, err
	}
	return aggregates(bank, pcrs), nil
}

func aggregates(bank string, pcrs map[int][]byte) []string {
	out := []string{}
	for _, last := range []int{7, 9} {
		h := NewHash(bank)
		complete := true
		for n := 0; n <= last; n++ {
			value, ok := pcrs[n]
			complete = complete && ok
			h.Write(value)
		}
		if complete {
			out = append(out, hex.EncodeToString(h.Sum(nil)))
		}
	}
	return out
}
