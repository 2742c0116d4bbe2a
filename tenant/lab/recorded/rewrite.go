package recorded

import (
	"bytes"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/keylime/keylime-tenant/policy/eventlog"
	"github.com/keylime/keylime-tenant/policy/runtime/ima"
)

// grubPCR is the register into which GRUB measures what it does as text.
const grubPCR = 8

// The beginnings of GRUB's events that hold the kernel command line; what
// follows is what the digests are of.
const (
	kernelCommandLine = "kernel_cmdline: "
	grubCommand       = "grub_cmd: "
	grubLinux         = grubCommand + "linux "
)

// bootAggregate is the name of the first entry of an IMA list.
const bootAggregate = "boot_aggregate"

// WithCommandLine is the boot that the same machine would have shown with words
// added to its kernel command line: the events of GRUB are other ones, with
// their digests, and so is the boot_aggregate of the IMA list. A log that names
// no kernel command line, or is no crypto-agile log, is an error.
func (b Boot) WithCommandLine(words string) (Boot, error) {
	if words == "" || strings.ContainsAny(words, "\x00\n") {
		return Boot{}, fmt.Errorf("%q cannot stand in a kernel command line", words)
	}
	log, err := eventlog.Parse(b.Log)
	if err != nil {
		return Boot{}, fmt.Errorf("boot log: %w", err)
	}
	if log.Header == nil {
		return Boot{}, errors.New("boot log: only logs in crypto-agile form can be changed")
	}
	var out bytes.Buffer
	changed := false
	for i := range log.Events {
		e, end := &log.Events[i], len(b.Log)
		if i+1 < len(log.Events) {
			end = log.Events[i+1].Offset
		}
		text, found := strings.CutSuffix(string(e.Data), "\x00")
		if e.PCR == grubPCR && found && (strings.HasPrefix(text, kernelCommandLine) || strings.HasPrefix(text, grubLinux)) {
			record, err := withText(b.Log[e.Offset:end], e, text+" "+words)
			if err != nil {
				return Boot{}, err
			}
			out.Write(record)
			changed = changed || strings.HasPrefix(text, kernelCommandLine)
			continue
		}
		out.Write(b.Log[e.Offset:end])
	}
	if !changed {
		return Boot{}, errors.New("the boot log names no kernel command line")
	}
	other := Boot{Log: out.Bytes(), IMA: b.IMA}
	return other.withAggregate()
}

// withText is the record of a GRUB event (TCG_PCR_EVENT2, PC Client Platform
// Firmware Profile 1.06, section 10.2.2, little endian) with another text.
func withText(record []byte, e *eventlog.Event, text string) ([]byte, error) {
	_, measured, _ := strings.Cut(text, ": ")
	const head = 12 // register, type, count of digests
	out := bytes.Clone(record[:head])
	at := head
	for _, d := range e.Digests {
		const algorithm = 2
		out = append(out, record[at:at+algorithm]...)
		h := eventlog.NewHash(d.Bank)
		if h == nil {
			return nil, fmt.Errorf("boot log: digests of bank %s cannot be made", d.Bank)
		}
		h.Write([]byte(measured))
		out = h.Sum(out)
		at += algorithm + len(d.Value)
	}
	out = binary.LittleEndian.AppendUint32(out, uint32(len(text)+1))
	return append(append(out, text...), 0), nil
}

// withAggregate puts into the IMA list the boot_aggregate that fits the log.
func (b Boot) withAggregate() (Boot, error) {
	first, rest, _ := bytes.Cut(b.IMA, []byte{'\n'})
	if !bytes.HasSuffix(first, []byte(" "+bootAggregate)) {
		return b, nil
	}
	log, err := eventlog.Parse(b.Log)
	if err != nil {
		return Boot{}, fmt.Errorf("boot log: %w", err)
	}
	aggregates, err := log.BootAggregates("sha256")
	if err != nil || len(aggregates) == 0 {
		return Boot{}, errors.Join(errors.New("boot log: no boot_aggregate can be computed"), err)
	}
	// The kernel takes all registers up to 9 (Linux 5.8 and later).
	line, err := IMALine(bootAggregate, aggregates[len(aggregates)-1])
	if err != nil {
		return Boot{}, err
	}
	b.IMA = slices.Concat(line, rest)
	return b, nil
}

// IMALine writes a line of an IMA list in template ima-ng for a file with this
// SHA-256 in hex. The second column is the SHA-1 of the template data, whatever
// the TPM's banks are, as the kernel shows it.
func IMALine(path, sha256Hex string) ([]byte, error) {
	if path == "" || strings.ContainsAny(path, "\n\x00") {
		return nil, fmt.Errorf("%q cannot be the path of a measured file", path)
	}
	rest := fmt.Sprintf("ima-ng sha256:%s %s\n", sha256Hex, strings.ReplaceAll(path, " ", "_"))
	scanner := ima.NewScanner(strings.NewReader(fmt.Sprintf("10 %040d %s", 0, rest)))
	if !scanner.Scan() || scanner.Entry().Problem != nil {
		return nil, fmt.Errorf("no IMA entry can be made for %q", path)
	}
	return fmt.Appendf(nil, "10 %x %s", sha1.Sum(scanner.Entry().AppendTemplateData(nil)), rest), nil
}
