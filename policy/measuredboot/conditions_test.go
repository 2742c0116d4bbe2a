package measuredboot

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"github.com/keylime/keylime-tenant/policy/eventlog"
)

// editor changes a recorded boot.
type editor struct {
	tb  testing.TB
	log *eventlog.Log
}

// at returns the first event of a PCR and type whose data hold the text, plain
// or in UTF-16.
func (e editor) at(pcr int, kind eventlog.Type, text string) *eventlog.Event {
	e.tb.Helper()
	wide := []byte(strings.Join(strings.Split(text, ""), "\x00"))
	for i := range e.log.Events {
		ev := &e.log.Events[i]
		if ev.PCR == pcr && ev.Type == kind && (bytes.Contains(ev.Data, []byte(text)) || bytes.Contains(ev.Data, wide)) {
			return ev
		}
	}
	e.tb.Fatalf("no event of %s in PCR %d with %q", kind, pcr, text)
	return nil
}

func (e editor) drop(ev *eventlog.Event) {
	i := slices.IndexFunc(e.log.Events, func(x eventlog.Event) bool { return x.Num == ev.Num })
	e.log.Events = slices.Delete(slices.Clone(e.log.Events), i, i+1)
}

// add appends an event, measured as measured says.
func (e editor) add(pcr int, kind eventlog.Type, data, measured []byte) *eventlog.Event {
	e.tb.Helper()
	ev := eventlog.Event{Num: len(e.log.Events), PCR: pcr, Type: kind, Data: data, Digests: slices.Clone(e.log.Events[1].Digests)}
	if err := ev.Measure(measured); err != nil {
		e.tb.Fatal(err)
	}
	e.log.Events = append(e.log.Events, ev)
	return &e.log.Events[len(e.log.Events)-1]
}

func (e editor) again(ev *eventlog.Event) {
	e.log.Events = append(e.log.Events, *ev)
}

func (e editor) measure(ev *eventlog.Event, as string) {
	if err := ev.Measure([]byte(as)); err != nil {
		e.tb.Fatal(err)
	}
}

func guid(text string) []byte {
	var g []byte
	for _, part := range strings.Split(text, "-") {
		b, _ := hex.DecodeString(part)
		if len(g) < 8 {
			slices.Reverse(b)
		}
		g = append(g, b...)
	}
	return g
}

const (
	global   = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
	security = "d719b2cb-3d3a-4596-a3bc-dad00e67656f"
	shimLock = "605dab50-e046-4300-abb6-3dd810dd8b23"
)

func variable(owner, name string, data []byte) []byte {
	le := binary.LittleEndian
	b := guid(owner)
	b = le.AppendUint64(b, uint64(len(name)))
	b = le.AppendUint64(b, uint64(len(data)))
	for _, c := range []byte(name) {
		b = append(b, c, 0)
	}
	return append(b, data...)
}

// list builds an EFI_SIGNATURE_LIST of entries of one size.
func list(kind string, entries ...[]byte) []byte {
	le := binary.LittleEndian
	size := 16
	if len(entries) > 0 {
		size = len(entries[0])
	}
	b := guid(kind)
	b = le.AppendUint32(b, uint32(28+size*len(entries)))
	b = le.AppendUint32(b, 0)
	b = le.AppendUint32(b, uint32(size))
	for _, e := range entries {
		b = append(b, e...)
	}
	return b
}

// entry is a key with an owner of zeros.
func entry(data ...byte) []byte { return append(make([]byte, 16), data...) }

// condition spoils one thing and wants exactly this check.
type condition struct {
	name   string
	boot   string
	log    func(editor)
	policy func(*Policy)
	want   []string
}

func conditions() []condition {
	zeros := make([]byte, 4)
	setData := func(pcr int, kind eventlog.Type, text string, data []byte) func(editor) {
		return func(e editor) { e.at(pcr, kind, text).Data = data }
	}
	remeasure := func(pcr int, kind eventlog.Type, text string) func(editor) {
		return func(e editor) { e.measure(e.at(pcr, kind, text), "something else") }
	}
	repeat := func(pcr int, kind eventlog.Type, text string) func(editor) {
		return func(e editor) { e.again(e.at(pcr, kind, text)) }
	}
	put := func(pcr int, kind eventlog.Type, data []byte, times int) func(editor) {
		return func(e editor) {
			for range times {
				e.add(pcr, kind, data, data)
			}
		}
	}
	const (
		config    = eventlog.VariableDriverConfig
		authority = eventlog.VariableAuthority
		apps      = eventlog.BootServicesApplication
	)
	db := func(name string, data []byte) []byte { return variable(security, name, data) }
	x509, sha := eventlog.SignatureX509, eventlog.SignatureSHA256
	return []condition{
		{name: "nothing", boot: "sb-on"},
		{name: "nothing, without Secure Boot", boot: "sb-off"},

		// What a verifier cannot read.
		{name: "variable cut", boot: "sb-on", log: setData(7, config, "PK", []byte{1, 2, 3}), want: []string{CheckLog}},
		{name: "name not ASCII", boot: "sb-on", log: setData(1, eventlog.VariableBoot, "BootOrder", append(variable(global, "B", nil)[:32], 0xe9, 0)), want: []string{CheckLog, CheckBootVariable}},
		{name: "SecureBoot of 2 octets", boot: "sb-on", log: setData(7, config, "SecureBoot", variable(global, "SecureBoot", []byte{1, 1})), want: []string{CheckLog}},
		{name: "MokListTrusted of 2 octets", boot: "sb-on", log: put(7, authority, variable(shimLock, "MokListTrusted", []byte{1, 1}), 1), want: []string{CheckLog, CheckMokTrust}},
		{name: "key of db too short", boot: "sb-on", log: setData(7, authority, "db", db("db", []byte{1})), want: []string{CheckLog}},
		{name: "SbatLevel unprintable", boot: "sb-on", log: setData(7, authority, "SbatLevel", variable(shimLock, "SbatLevel", []byte{1})), want: []string{CheckLog}},
		{name: "BootOrder odd", boot: "sb-on", log: setData(1, eventlog.VariableBoot, "BootOrder", variable(global, "BootOrder", []byte{1})), want: []string{CheckLog}},
		{name: "boot option cut", boot: "sb-on", log: setData(1, eventlog.VariableBoot, "Boot0001", variable(global, "Boot0001", []byte{1, 0, 0, 0, 0, 0, 'x', 0})), want: []string{CheckLog}},
		{name: "boot option with a quote", boot: "sb-on", log: setData(1, eventlog.VariableBoot, "Boot0001", variable(global, "Boot0001", []byte{1, 0, 0, 0, 4, 0, '"', 0, 0, 0, 0x7f, 0xff, 4, 0})), want: []string{CheckLog}},
		{name: "application cut", boot: "sb-on", log: setData(4, apps, "grubx64", []byte{1}), want: []string{CheckLog}},
		{name: "driver cut", boot: "sb-on", log: setData(2, eventlog.BootServicesDriver, "", []byte{1}), want: []string{CheckLog}},
		{name: "firmware blob cut", boot: "sb-on", log: setData(0, eventlog.PlatformFirmwareBlob, "", []byte{1}), want: []string{CheckLog}},
		{name: "partition table cut", boot: "sb-on", log: setData(5, eventlog.GPTEvent, "EFI PART", []byte{1}), want: []string{CheckLog}},
		{name: "partition name with a quote", boot: "sb-on", log: func(e editor) {
			ev := e.at(5, eventlog.GPTEvent, "EFI PART")
			ev.Data = bytes.Clone(ev.Data)
			ev.Data[100+56] = '"'
		}, want: []string{CheckLog}},
		{name: "text not UTF-8", boot: "sb-on", log: setData(8, eventlog.IPL, "set default", []byte("grub_cmd: \xff")), want: []string{CheckLog}},
		{name: "action unprintable", boot: "sb-on", log: put(5, eventlog.EFIAction, []byte{0x1b}, 1), want: []string{CheckLog, CheckAction}},
		{name: "note in PCR 0xffffffff", boot: "sb-on", log: put(0xffffffff, eventlog.NoAction, make([]byte, 17), 1), want: []string{CheckLog, CheckUnexpected}},
		{name: "padding", boot: "sb-on", log: func(e editor) { e.log.Padding = 3 }, want: []string{CheckLog}},
		{name: "old form", boot: "sb-on", log: func(e editor) { e.log.Header = nil }, want: []string{CheckLog}},
		{name: "unknown bank", boot: "sb-on", log: func(e editor) {
			h := *e.log.Header
			h.Algorithms = append(slices.Clone(h.Algorithms), eventlog.SpecAlgorithm{ID: 0x77, Size: 16})
			e.log.Header = &h
		}, want: []string{CheckLog}},

		// Places and counts.
		{name: "post code", boot: "sb-on", log: put(0, eventlog.PostCode, []byte("ACPI DATA"), 1), want: []string{CheckUnexpected}},
		{name: "PCR 11", boot: "sb-on", log: put(11, eventlog.IPL, []byte("x"), 1), want: []string{CheckUnexpected}},
		{name: "runtime driver", boot: "sb-on", log: put(2, eventlog.RuntimeServicesDriver, make([]byte, 32), 1), want: []string{CheckUnexpected}},
		{name: "action in PCR 6", boot: "sb-on", log: put(6, eventlog.EFIAction, []byte("UEFI Debug Mode"), 1), want: []string{CheckUnexpected}},
		{name: "separator in PCR 8", boot: "sb-on", log: put(8, eventlog.Separator, zeros, 1), want: []string{CheckUnexpected}},
		{name: "vendor's event", boot: "sb-on", log: put(2, 0x8401, []byte{1}, 1), want: []string{CheckUnexpected}},
		{name: "startup locality", boot: "sb-on", log: put(0, eventlog.NoAction, append([]byte("StartupLocality\x00"), 3), 1), want: []string{CheckRepeated}},
		{name: "microcode twice", boot: "sb-on", log: put(1, eventlog.CPUMicrocode, []byte{1}, 2), want: []string{CheckRepeated}},
		{name: "handoff tables twice", boot: "sb-on", log: put(1, eventlog.HandoffTables, []byte{1}, 2), want: []string{CheckRepeated}},
		{name: "newer handoff tables twice", boot: "sb-on", log: put(1, eventlog.HandoffTables2, []byte{1}, 2), want: []string{CheckRepeated}},
		{name: "both handoff tables once", boot: "sb-on", log: func(e editor) {
			e.add(1, eventlog.HandoffTables, []byte{1}, nil)
			e.add(1, eventlog.HandoffTables2, []byte{1}, nil)
		}},
		{name: "configuration flags 4 times", boot: "sb-on", log: put(1, eventlog.PlatformConfigFlags, []byte{1}, 4)},
		{name: "configuration flags 5 times", boot: "sb-on", log: put(1, eventlog.PlatformConfigFlags, []byte{1}, 5), want: []string{CheckRepeated}},
		{name: "partition table twice", boot: "sb-on", log: repeat(5, eventlog.GPTEvent, "EFI PART"), want: []string{CheckRepeated}},
		{name: "driver twice", boot: "sb-on", log: repeat(2, eventlog.BootServicesDriver, "")},

		// Separators and actions.
		{name: "separator content", boot: "sb-on", log: setData(3, eventlog.Separator, "", []byte{1, 0, 0, 0}), want: []string{CheckSeparator}},
		{name: "separator of legacy BIOS", boot: "sb-on", log: put(3, eventlog.Separator, []byte{0xff, 0xff, 0xff, 0xff}, 1), want: []string{CheckSeparator}},
		{name: "separator digest", boot: "sb-on", log: remeasure(3, eventlog.Separator, ""), want: []string{CheckSeparator}},
		{name: "separator empty", boot: "sb-on", log: setData(3, eventlog.Separator, "", nil), want: []string{CheckSeparator}},
		{name: "separator with one good digest", boot: "sb-on", log: func(e editor) {
			ev := e.at(3, eventlog.Separator, "")
			good := ev.Digests[0]
			e.measure(ev, "x")
			ev.Digests[0] = good
		}},
		{name: "action text", boot: "sb-on", log: put(5, eventlog.EFIAction, []byte("Calling EFI Application from Boot Option"), 1), want: []string{CheckAction}},
		{name: "action digest", boot: "sb-on", log: remeasure(4, eventlog.EFIAction, ""), want: []string{CheckAction}},
		{name: "action behind NUL", boot: "sb-on", log: setData(4, eventlog.EFIAction, "", []byte("Calling EFI Application from Boot Option\x00\x00"))},
		{name: "setup entered", boot: "sb-on", log: put(1, eventlog.EFIAction, []byte("Entering ROM Based Setup"), 2)},
		{name: "application returned", boot: "sb-on", log: put(4, eventlog.EFIAction, []byte("Returning from EFI Application from Boot Option"), 1)},
		{name: "exit failed", boot: "sb-on", log: put(5, eventlog.EFIAction, []byte("Exit Boot Services Returned with Failure"), 1)},

		// Boot variables.
		{name: "boot variable name", boot: "sb-on", log: put(1, eventlog.VariableBoot, variable(global, "BootNext", []byte{1, 0}), 1), want: []string{CheckBootVariable}},
		{name: "boot variable owner", boot: "sb-on", log: put(1, eventlog.VariableBoot, variable(security, "Boot0001", []byte{1, 0}), 1), want: []string{CheckLog, CheckBootVariable}},
		{name: "long boot option", boot: "sb-on", log: put(1, eventlog.VariableBoot, variable(global, "BootA", []byte{1}), 1)},
		{name: "long boot option without content", boot: "sb-on", log: put(1, eventlog.VariableBoot, variable(global, "BootA", nil), 1), want: []string{CheckVariable}},
		{name: "empty boot order", boot: "sb-on", log: put(1, eventlog.VariableBoot, variable(global, "BootOrder", nil), 1)},
		{name: "boot variable, swapped owner", boot: "sb-on", log: put(1, eventlog.VariableBoot, variable("61dfe48b-ca93-d211-aa0d-00e098032b8c", "BootOrder", nil), 1)},

		// Secure Boot and its keys.
		{name: "Secure Boot off", boot: "sb-on", log: setData(7, config, "SecureBoot", variable(global, "SecureBoot", []byte{0})), want: []string{CheckSecureBoot}},
		{name: "Secure Boot without content", boot: "sb-on", log: setData(7, config, "SecureBoot", variable(global, "SecureBoot", nil)), want: []string{CheckSecureBoot}},
		{name: "Secure Boot on", boot: "sb-off", log: setData(7, config, "SecureBoot", variable(global, "SecureBoot", []byte{1})), want: []string{CheckSecureBoot}},
		{name: "unexpected variable", boot: "sb-on", log: put(7, config, variable(global, "AuditMode", []byte{0}), 1), want: []string{CheckVariable}},
		{name: "PK of another vendor", boot: "sb-on", log: put(7, config, variable(security, "PK", nil), 1), want: []string{CheckVariable}},
		{name: "PK twice", boot: "sb-on", log: repeat(7, config, "PK"), want: []string{CheckRepeated}},
		{name: "PK", boot: "sb-on", log: setData(7, config, "PK", variable(global, "PK", list(x509, entry(1)))), want: []string{CheckPK}},
		{name: "PK not in the policy", boot: "sb-on", policy: func(p *Policy) { p.PK = nil }, want: []string{CheckPK}},
		{name: "PK's owner", boot: "sb-on", policy: func(p *Policy) { p.PK[0].Owner = "x" }, want: []string{CheckPK}},
		{name: "PK empty", boot: "sb-on", log: setData(7, config, "PK", variable(global, "PK", nil)), want: []string{CheckPK}},
		{name: "PK with digests", boot: "sb-on", log: setData(7, config, "PK", variable(global, "PK", list(sha, entry(1)))), want: []string{CheckPK}},
		{name: "PK without entries", boot: "sb-on", log: setData(7, config, "PK", variable(global, "PK", list(x509))), want: []string{CheckPK}},
		{name: "KEK", boot: "sb-on", policy: func(p *Policy) { p.KEK = p.KEK[:1] }, want: []string{CheckKEK}},
		{name: "db", boot: "sb-on", policy: func(p *Policy) { p.DB = p.DB[1:] }, want: []string{CheckDB}},
		{name: "db with a digest", boot: "sb-on", policy: func(p *Policy) { p.DB = append(p.DB, Key{"00000000-0000-0000-0000-000000000000", "0a"}) }, log: func(e editor) {
			ev := e.at(7, config, "db")
			ev.Data = db("db", list(sha, entry(0x0a)))
		}},
		{name: "db with a digest that YAML takes for a number", boot: "sb-on", policy: func(p *Policy) { p.DB = append(p.DB, Key{"00000000-0000-0000-0000-000000000000", "10"}) }, log: func(e editor) {
			ev := e.at(7, config, "db")
			ev.Data = db("db", list(sha, entry(0x10)))
		}, want: []string{CheckDB}},
		{name: "db with both spellings", boot: "sb-on", policy: func(p *Policy) { p.DB = append(p.DB, Key{"00000000-0000-0000-0000-000000000000", "0a"}) }, log: func(e editor) {
			ev := e.at(7, config, "db")
			ev.Data = db("db", append(list(sha256Swapped, entry(0x0a)), list(sha, entry(0x0a))...))
		}, want: []string{CheckDB}},
		{name: "db with many keys", boot: "sb-on", log: func(e editor) {
			keys := make([][]byte, 1000)
			for i := range keys {
				keys[i] = entry(byte(i), byte(i>>8), 0xaa)
			}
			e.at(7, config, "db").Data = db("db", list(sha, keys...))
		}, want: slices.Repeat([]string{CheckDB}, maxShown+1)},
		{name: "vendor_db as configuration", boot: "sb-on", log: put(7, config, db("vendor_db", list(x509, entry(1))), 1), want: []string{CheckVendorDB}},
		{name: "vendor_db as configuration, anything goes", boot: "sb-off", log: put(7, config, db("vendor_db", []byte{1}), 1)},
		{name: "vendor_db as configuration, empty", boot: "sb-off", log: put(7, config, db("vendor_db", nil), 1), want: []string{CheckVariable}},
		{name: "dbx", boot: "sb-on", policy: func(p *Policy) { p.DBX = append(p.DBX, Key{"x", "00"}) }, want: []string{CheckDBX}},
		{name: "dbx with more", boot: "sb-on", policy: func(p *Policy) { p.DBX = nil }},
		{name: "dbx of two lists", boot: "sb-on", log: setData(7, config, "dbx", db("dbx", append(list(sha, entry(1)), list(sha, entry(1))...))), want: []string{CheckDBX}},
		{name: "dbx of certificates", boot: "sb-on", log: setData(7, config, "dbx", db("dbx", list(x509, entry(1)))), want: []string{CheckDBX}},
		{name: "dbx without entries", boot: "sb-on", log: setData(7, config, "dbx", db("dbx", list(sha))), want: []string{CheckDBX}},
		{name: "dbx empty", boot: "sb-on", log: setData(7, config, "dbx", db("dbx", nil)), want: []string{CheckDBX}},
		{name: "dbx twice", boot: "sb-on", log: repeat(7, config, "dbx"), want: []string{CheckRepeated}},
		{name: "any keys without Secure Boot", boot: "sb-off", log: func(e editor) {
			e.at(7, config, "PK").Data = variable(global, "PK", list(sha, entry(1)))
			e.at(7, config, "dbx").Data = db("dbx", append(list(sha, entry(1)), list(sha, entry(1))...))
		}},
		{name: "keys demanded without Secure Boot", boot: "sb-off", policy: func(p *Policy) { p.PK = []Key{{"x", "00"}} }, want: []string{CheckPK}},

		// Authorities.
		{name: "db used twice", boot: "sb-on", log: repeat(7, authority, "db"), want: []string{CheckRepeated}},
		{name: "SbatLevel twice", boot: "sb-on", log: repeat(7, authority, "SbatLevel"), want: []string{CheckRepeated}},
		{name: "Shim once", boot: "sb-on", log: put(7, authority, variable(shimLock, "Shim", entry(1)), 1)},
		{name: "Shim twice", boot: "sb-on", log: put(7, authority, variable(shimLock, "Shim", entry(1)), 2), want: []string{CheckRepeated}},
		{name: "MokListRT twice", boot: "sb-on", log: repeat(7, authority, "MokListRT"), want: []string{CheckRepeated}},
		{name: "MokListRT empty", boot: "sb-on", log: setData(7, authority, "MokListRT", variable(shimLock, "MokListRT", nil)), want: []string{CheckVariable}},
		{name: "MokListRT, swapped owner", boot: "sb-on", log: setData(7, authority, "MokListRT", variable("50ab5d60-46e0-0043-abb6-3dd810dd8b23", "MokListRT", []byte{1})), want: []string{CheckVariable}},
		{name: "MokListTrusted", boot: "sb-on", log: put(7, authority, variable(shimLock, "MokListTrusted", []byte{1}), 1)},
		{name: "MokListTrusted twice", boot: "sb-on", log: put(7, authority, variable(shimLock, "MokListTrusted", nil), 2), want: []string{CheckRepeated}},
		{name: "unexpected authority", boot: "sb-on", log: put(7, authority, variable(shimLock, "MokList", []byte{1}), 1), want: []string{CheckVariable}},
		{name: "vendor_db used", boot: "sb-on", log: put(7, authority, db("vendor_db", entry(0x30, 0x82, 0, 1, 5)), 1), want: []string{CheckVendorDB}},
		{name: "vendor_db used and allowed", boot: "sb-on", log: put(7, authority, db("vendor_db", entry(0x30, 0x82, 0, 1, 5)), 1),
			policy: func(p *Policy) { p.VendorDB = []Key{{"00000000-0000-0000-0000-000000000000", "3082000105"}} }},
		{name: "vendor_db without a certificate", boot: "sb-on", log: put(7, authority, db("vendor_db", entry(1, 2, 3, 4, 5)), 1), want: []string{CheckVendorDB}},
		{name: "vendor_db empty", boot: "sb-on", log: put(7, authority, db("vendor_db", nil), 1), want: []string{CheckVariable}},
		{name: "vendor_db twice", boot: "sb-off", log: put(7, authority, db("vendor_db", []byte{1}), 2), want: []string{CheckRepeated}},

		// GRUB's texts.
		{name: "neither command nor command line", boot: "sb-on", log: setData(8, eventlog.IPL, "set default", []byte("grub: x")), want: []string{CheckCommand}},
		{name: "empty text", boot: "sb-on", log: setData(8, eventlog.IPL, "set default", nil), want: []string{CheckCommand}},
		{name: "command line of two lines", boot: "sb-on", log: put(8, eventlog.IPL, []byte("kernel_cmdline: a\nb\x00"), 1), want: []string{CheckCommand}},
		{name: "command of two lines", boot: "sb-on", log: put(8, eventlog.IPL, []byte("grub_cmd: a\nb\x00"), 1)},
		{name: "other file", boot: "sb-on", log: put(9, eventlog.IPL, []byte("/boot/xen\x00"), 1), want: []string{CheckFile}},
		{name: "GRUB's file", boot: "sb-on", log: put(9, eventlog.IPL, []byte("/boot/grub/vmlinuz\x00"), 1)},
		{name: "loader entry", boot: "sb-on", log: put(9, eventlog.IPL, []byte("(hd0)/loader/entries/x.conf\x00"), 1)},
		{name: "file of two lines", boot: "sb-on", log: put(9, eventlog.IPL, []byte("/grub\nx\x00"), 1), want: []string{CheckFile}},
		{name: "MokList", boot: "sb-on", log: remeasure(14, eventlog.IPL, "MokList"), want: []string{CheckMokList}},
		{name: "MokListX", boot: "sb-on", policy: func(p *Policy) { p.MokXDig = nil }, want: []string{CheckMokListX}},
		{name: "MokList in sha1", boot: "sb-on", policy: func(p *Policy) { p.MokDig = []Digests{{"sha1": "28a3343cce7732bfd9a36a2f56e780ddfe3736b1"}} }},
		{name: "MokListTrusted in PCR 14 twice", boot: "sb-on", log: repeat(14, eventlog.IPL, "MokListTrusted"), want: []string{CheckRepeated}},
		{name: "other text in PCR 14", boot: "sb-on", log: put(14, eventlog.IPL, []byte("MokSBState"), 1), want: []string{CheckMok}},

		// The boot chain.
		{name: "no application", boot: "sb-on", log: func(e editor) { e.drop(e.at(4, apps, "grubx64")); e.drop(e.at(4, apps, "BOOTX64")) }, want: []string{CheckApplications}},
		{name: "one application more", boot: "sb-on", log: repeat(4, apps, "grubx64"), want: []string{CheckApplications}},
		{name: "kernel measured once", boot: "sb-on", log: func(e editor) { e.drop(&e.log.Events[45]) }},
		{name: "another kernel the second time", boot: "sb-on", log: func(e editor) { e.measure(&e.log.Events[45], "x") }, want: []string{CheckKernel}},
		{name: "shim", boot: "sb-on", log: remeasure(4, apps, "BOOTX64"), want: []string{CheckShim}},
		{name: "grub", boot: "sb-on", log: remeasure(4, apps, "grubx64"), want: []string{CheckGrub}},
		{name: "kernel", boot: "sb-on", policy: func(p *Policy) { p.Kernels[0].Kernel = "00" }, want: []string{CheckKernel, CheckKernel}},
		{name: "grub without Secure Boot", boot: "sb-off", log: remeasure(4, apps, "grubx64"), want: []string{CheckGrub}},
		{name: "kernel as application without Secure Boot", boot: "sb-off", log: repeat(4, apps, "grubx64"), want: []string{CheckApplications}},
		{name: "initrd", boot: "sb-on", log: remeasure(9, eventlog.IPL, "initrd"), want: []string{CheckInitrd}},
		{name: "no initrd", boot: "sb-on", log: func(e editor) { e.drop(e.at(9, eventlog.IPL, "initrd")) }, want: []string{CheckInitrd}},
		{name: "two initrds", boot: "sb-on", log: put(9, eventlog.IPL, []byte("/initramfs\x00"), 1), want: []string{CheckInitrd}},
		{name: "kernel file with Secure Boot", boot: "sb-on", log: remeasure(9, eventlog.IPL, "vmlinuz")},
		{name: "kernel file without Secure Boot", boot: "sb-off", log: remeasure(9, eventlog.IPL, "vmlinuz"), want: []string{CheckVmlinuz}},
		{name: "two kernel files", boot: "sb-on", log: repeat(9, eventlog.IPL, "vmlinuz"), want: []string{CheckVmlinuz}},
		{name: "no kernel file", boot: "sb-on", log: func(e editor) { e.drop(e.at(9, eventlog.IPL, "vmlinuz")) }, want: []string{CheckVmlinuz}},
		{name: "command line", boot: "sb-on", policy: func(p *Policy) { p.Kernels[0].CommandLine += "x" }, want: []string{CheckCommandLine}},
		{name: "command line by a pattern", boot: "sb-on", policy: func(p *Policy) { p.Kernels[0].CommandLine = `/vmlinuz-[\d.-]+amd64 (?=root=).* ima_template=ima-ng\Z` }},
		{name: "pattern matches the beginning only", boot: "sb-on", policy: func(p *Policy) { p.Kernels[0].CommandLine = "/vmlinuz" }, want: []string{CheckCommandLine}},
		{name: "no command line", boot: "sb-on", log: func(e editor) { e.drop(e.at(8, eventlog.IPL, "kernel_cmdline")) }, want: []string{CheckCommandLine}},
		{name: "two command lines", boot: "sb-on", log: repeat(8, eventlog.IPL, "kernel_cmdline"), want: []string{CheckCommandLine}},
		{name: "parts of two entries", boot: "sb-on", policy: func(p *Policy) {
			p.Kernels = append(p.Kernels, p.Kernels[0])
			p.Kernels[0].Shim, p.Kernels[0].Initrd, p.Kernels[1].Grub = "00", "00", "00"
		}, want: []string{CheckGrub}},
		{name: "no kernel allowed", boot: "sb-on", policy: func(p *Policy) { p.Kernels = []Kernel{} }, want: []string{CheckKernels}},

		// The firmware.
		{name: "firmware version", boot: "sb-on", log: remeasure(0, eventlog.SCRTMVersion, ""), want: []string{CheckSCRTM}},
		{name: "no firmware version", boot: "sb-on", log: func(e editor) { e.drop(e.at(0, eventlog.SCRTMVersion, "")) }, want: []string{CheckSCRTM}},
		{name: "two firmware versions", boot: "sb-on", log: repeat(0, eventlog.SCRTMVersion, ""), want: []string{CheckSCRTM}},
		{name: "firmware volume", boot: "sb-on", policy: func(p *Policy) { p.Firmware[0].Blobs[1] = Digests{"sha256": "00"} }, want: []string{CheckFirmware}},
		{name: "firmware volumes swapped", boot: "sb-on", policy: func(p *Policy) { slices.Reverse(p.Firmware[0].Blobs) }, want: []string{CheckFirmware, CheckFirmware}},
		{name: "one firmware volume more", boot: "sb-on", log: func(e editor) { e.add(0, eventlog.PlatformFirmwareBlob2, append([]byte{0}, make([]byte, 16)...), nil) }, want: []string{CheckFirmware}},
		{name: "no firmware allowed", boot: "sb-on", policy: func(p *Policy) { p.Firmware = []Firmware{} }, want: []string{CheckFirmwares}},
		{name: "second firmware allowed", boot: "sb-on", policy: func(p *Policy) {
			p.Firmware = append([]Firmware{{SCRTM: Digests{"sha256": "00"}, Blobs: []Digests{}}}, p.Firmware...)
		}},

		// Everything at once: the verifier would tell the first only.
		{name: "several", boot: "sb-on", log: func(e editor) {
			e.at(7, config, "SecureBoot").Data = variable(global, "SecureBoot", []byte{0})
			e.measure(e.at(14, eventlog.IPL, "MokList"), "x")
			e.measure(e.at(9, eventlog.IPL, "initrd"), "x")
			e.measure(e.at(0, eventlog.SCRTMVersion, ""), "x")
			e.add(0, eventlog.PostCode, []byte("ACPI DATA"), nil)
		}, want: []string{CheckSecureBoot, CheckMokList, CheckUnexpected, CheckInitrd, CheckSCRTM}},
	}
}

// TestConditions: every condition of PROTOCOL.md 10.7 has a case that spoils
// just it.
func TestConditions(t *testing.T) {
	t.Parallel()
	for _, c := range conditions() {
		l, p := bootLog(t, c.boot), policyOf(t, c.boot)
		if c.log != nil {
			c.log(editor{t, l})
		}
		if c.policy != nil {
			c.policy(p)
		}
		v := p.Evaluate(l, EvaluateOptions{})
		if got := checks(v); !slices.Equal(got, c.want) || v.Accepted != (c.want == nil) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
		for _, f := range v.Findings {
			if f.Message == "" || f.Remedy == "" || f.EventID == "" || strings.HasSuffix(f.Message, ".") {
				t.Errorf("%s: %+v", c.name, f)
			}
		}
	}
}
