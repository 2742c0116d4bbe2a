package measuredboot

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/keylime/keylime-tenant/policy"
	"github.com/keylime/keylime-tenant/policy/eventlog"
)

// ComparePCRs compares the values that a log gives its PCRs with quoted ones,
// for those of [RelevantPCRs] that were quoted (PROTOCOL.md 6.4, step 4). A PCR
// that does not occur in the log counts as zero. A finding means that the log
// is not what the machine measured, so nothing it says counts. A log without
// the bank gives one finding of [CheckBank].
func ComparePCRs(log *eventlog.Log, bank string, pcrs map[int][]byte) []policy.Finding {
	replayed, err := log.Replay(bank)
	if err == nil && len(replayed) == 0 {
		err = errors.New("the boot log extends no PCR of bank " + bank)
	}
	if err != nil {
		return []policy.Finding{{Check: CheckBank, EventID: idNoBank, Where: "the boot log", Expected: []string{bank}, Found: log.Banks,
			Message: err.Error(), Remedy: "switch the " + bank + " bank on in the firmware's setup, or quote another one"}}
	}
	var out []policy.Finding
	for _, n := range RelevantPCRs() {
		quoted, ok := pcrs[n]
		if !ok || bytes.Equal(bytes.TrimLeft(quoted, "\x00"), bytes.TrimLeft(replayed[n], "\x00")) {
			continue
		}
		f := policy.Finding{
			Check: CheckPCR, EventID: idPCR + strconv.Itoa(n), PCR: policy.Int(n), Where: fmt.Sprintf("PCR %d", n),
			Expected: []string{hex.EncodeToString(replayed[n])}, Found: []string{hex.EncodeToString(quoted)},
			Message: fmt.Sprintf("the boot log gives PCR %d another value than the TPM has: the log is not complete, not of this boot, or something else extended the PCR", n),
			Remedy:  "take log and quote from the same boot",
		}
		if replayed[n] == nil {
			f.Expected = []string{strings.Repeat("00", len(quoted))}
			f.Message = fmt.Sprintf("the TPM has a value in PCR %d, but the boot log extends it never", n)
		}
		out = append(out, f)
	}
	return out
}

// MissingPCRs is the finding about PCRs that the policy needs and the quote
// lacks, nil if it has them all; a verifier does not evaluate then
// (PROTOCOL.md 10.6).
func MissingPCRs(pcrs map[int][]byte) *policy.Finding {
	var missing []string
	for _, n := range RelevantPCRs() {
		if _, ok := pcrs[n]; !ok {
			missing = append(missing, strconv.Itoa(n))
		}
	}
	if missing == nil {
		return nil
	}
	return &policy.Finding{Check: CheckMissingPCRs, EventID: idMissingPCRs, Where: "the quote", Expected: missing,
		Message: "the quote lacks PCRs that a measured-boot policy needs: " + strings.Join(missing, ", "),
		Remedy:  fmt.Sprintf("enrol the agent with a PCR mask that includes 0x%x", Mask)}
}
