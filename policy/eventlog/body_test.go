package eventlog

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
)

func guid(t *testing.T, text string) GUID {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(text, "-", ""))
	if err != nil {
		t.Fatal(err)
	}
	return GUID{b[3], b[2], b[1], b[0], b[5], b[4], b[7], b[6], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]}
}

// list builds an EFI_SIGNATURE_LIST that promises extra octets it has not.
func list(kind GUID, size, extra int, entries ...[]byte) []byte {
	b := append([]byte(nil), kind[:]...)
	b = le32(b, uint32(28+size*len(entries)+extra))
	b = le32(b, 0)
	b = le32(b, uint32(size))
	for _, e := range entries {
		b = append(b, e...)
	}
	return b
}

// TestSignatureLists: how far a walk goes on lists that contradict themselves.
func TestSignatureLists(t *testing.T) {
	t.Parallel()
	sha := guid(t, SignatureSHA256)
	if sha.String() != SignatureSHA256 {
		t.Fatal(sha)
	}
	entry := make([]byte, 48)
	for _, c := range []struct {
		name     string
		data     []byte
		rest     []byte
		lists    int
		keys     int
		cut, all bool
	}{
		{"none", nil, nil, 0, 0, false, true},
		{"one", list(sha, 48, 0, entry), nil, 1, 1, false, true},
		{"two lists", append(list(sha, 48, 0, entry, entry), list(sha, 48, 0, entry)...), nil, 2, 1, false, true},
		{"list in the rest of the event", list(sha, 48, 0, entry), list(sha, 48, 0, entry, entry), 2, 2, false, true},
		{"head cut", list(sha, 48, 0, entry)[:20], nil, 0, 0, false, false},
		{"entries of 15 octets", list(sha, 15, 0, entry[:15]), nil, 0, 0, false, false},
		{"no entry", list(sha, 48, 0), nil, 1, 0, false, false},
		{"size no multiple", list(sha, 48, 1, entry), nil, 1, 0, false, false},
		{"one more promised", list(sha, 48, 48, entry), nil, 1, 1, true, false},
		{"size below the head", append(list(sha, 48, -60, entry), entry...), nil, 1, 0, false, false},
		{"size of 4 GiB", list(sha, 48, -1-28-48, entry), nil, 1, 0, false, false},
	} {
		v := Variable{Data: c.data, Rest: c.rest}
		lists, all := v.SignatureLists()
		if len(lists) != c.lists || all != c.all {
			t.Errorf("%s: %d lists, complete %v", c.name, len(lists), all)
			continue
		}
		if c.lists > 0 {
			if last := lists[len(lists)-1]; len(last.Keys) != c.keys || last.Cut != c.cut {
				t.Errorf("%s: %d keys, cut %v", c.name, len(last.Keys), last.Cut)
			}
		}
	}
}

// TestVendorDB: pairs of owner and certificate, with up to 100 octets between.
func TestVendorDB(t *testing.T) {
	t.Parallel()
	cert := []byte{0x30, 0x82, 0x00, 0x03, 1, 2, 3}
	pair := func(gap int) []byte { return append(append(make([]byte, 16+gap), cert...), 0, 0)[:16+gap+len(cert)] }
	for _, c := range []struct {
		name string
		data []byte
		want []int
	}{
		{"two", append(pair(0), pair(28)...), []int{7, 35}},
		{"gap of 99", append(pair(99), 0, 0), []int{106}},
		{"gap of 100", append(pair(100), 0, 0), nil},
		{"certificate cut", pair(0)[:22], nil},
		{"owner only", make([]byte, 16), nil},
		{"nothing", nil, nil},
	} {
		v := Variable{Data: c.data}
		var got []int
		for _, s := range v.VendorDB() {
			got = append(got, len(s.Data))
		}
		if len(got) != len(c.want) || len(got) > 0 && got[0] != c.want[0] || len(got) > 1 && got[1] != c.want[1] {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// TestBodyFaults spoils the lengths within event data.
func TestBodyFaults(t *testing.T) {
	t.Parallel()
	v := variable(GUID{}, "SecureBoot", []byte{1})
	with := func(b []byte, at int, n uint64) []byte {
		b = append([]byte(nil), b...)
		binary.LittleEndian.PutUint64(b[at:], n)
		return b
	}
	gpt := make([]byte, gptHead+gptPartition)
	gpt[92] = 1
	for _, c := range []struct {
		name string
		e    Event
		call func(*Event) error
		text string
	}{
		{"variable head", Event{Data: v[:31]}, func(e *Event) error { _, err := e.Variable(); return err }, "31 octets are too few"},
		{"variable name", Event{Data: with(v, 16, 1<<62)}, func(e *Event) error { _, err := e.Variable(); return err }, "a variable name of 4611686018427387904 characters"},
		{"variable content", Event{Data: with(v, 24, 2)}, func(e *Event) error { _, err := e.Variable(); return err }, `variable "SecureBoot" with 2 octets of content in 1`},
		{"variable content, overflow", Event{Data: with(v, 24, 1<<63)}, func(e *Event) error { _, err := e.Variable(); return err }, "octets of content in 1"},
		{"image", Event{Data: v[:31]}, func(e *Event) error { _, err := e.Image(); return err }, "too few for an image"},
		{"blob", Event{Data: v[:15], Type: PlatformFirmwareBlob}, func(e *Event) error { _, err := e.Blob(); return err }, "too few for the place"},
		{"blob description", Event{Data: []byte{9, 1}, Type: PlatformFirmwareBlob2}, func(e *Event) error { _, err := e.Blob(); return err }, "description longer"},
		{"partition table", Event{Data: gpt[:99]}, func(e *Event) error { _, err := e.GPT(); return err }, "too few for a partition table"},
		{"partitions", Event{Data: with(gpt, 92, 2)}, func(e *Event) error { _, err := e.GPT(); return err }, "2 partitions in 128 octets"},
		{"partitions, overflow", Event{Data: with(gpt, 92, 1<<57+1)}, func(e *Event) error { _, err := e.GPT(); return err }, "partitions in 128 octets"},
	} {
		err := c.call(&c.e)
		var body *BodyError
		if !errors.As(err, &body) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if _, err := (&Event{Data: gpt}).GPT(); err != nil {
		t.Error(err)
	}
	for _, data := range [][]byte{nil, make([]byte, 5), {1, 0, 0, 0, 0, 0, 'U', 0}} {
		if o, ok := (&Variable{Data: data}).LoadOption(); ok {
			t.Errorf("%x: %+v", data, o)
		}
	}
}

// TestDescribe: one line for people about events of every kind.
func TestDescribe(t *testing.T) {
	t.Parallel()
	g := GUID{}
	image := append(make([]byte, 24), 4, 0, 0, 0, 0, 0, 0, 0, 0x7f, 0xff, 4, 0)
	blob2 := append([]byte{4, 'F', 'V', 'M', 'N'}, make([]byte, 16)...)
	for _, c := range []struct {
		e    Event
		want string
	}{
		{Event{Type: NoAction, Data: append([]byte(startupLocality), 3)}, "note: the TPM was started from locality 3"},
		{Event{Type: NoAction, Data: []byte("SP800-155 Event\x00....")}, `note "SP800-155 Event"`},
		{Event{Type: NoAction, Data: []byte{1}}, "note of 1 octet"},
		{Event{Type: Separator, PCR: 3, Data: []byte{0xff, 0xff, 0xff, 0xff}}, "end of the firmware's measurements into PCR 3"},
		{Event{Type: Separator, Data: []byte{1, 0, 0, 0}}, "the firmware failed to measure something"},
		{Event{Type: Separator, Data: []byte("boot")}, `separator with unusual content "boot"`},
		{Event{Type: SCRTMVersion, Data: []byte("1\x00.\x002\x00\x00\x00")}, `firmware version "1.2"`},
		{Event{Type: PlatformFirmwareBlob2, Data: blob2}, `firmware of 0 octets at 0x0 "FVMN"`},
		{Event{Type: PostCode, Data: []byte("ACPI DATA")}, `firmware "ACPI DATA"`},
		{Event{Type: PlatformFirmwareBlob, Data: []byte{1}}, "firmware 01"},
		{Event{Type: VariableDriverConfig, Data: variable(g, "SecureBoot", nil)}, "Secure Boot is off"},
		{Event{Type: VariableDriverConfig, Data: variable(g, "dbx", list(guid(t, SignatureSHA256), 48, 48, make([]byte, 48)))}, "dbx: 1 digests, and more that is not well-formed"},
		{Event{Type: VariableDriverConfig, Data: variable(g, "a\x1bb", []byte{1, 2})}, `variable "a\x1bb" of 00000000-0000-0000-0000-000000000000, 2 octets`},
		{Event{Type: VariableBoot, Data: variable(g, "BootOrder", []byte{1, 0, 2, 1})}, "boot order Boot0001 Boot0102"},
		{Event{Type: VariableBoot, Data: variable(g, "Boot0001", []byte{1, 0, 0, 0, 4, 0, 'x', 0, 0, 0, 0x7f, 0xff, 4, 0})}, `Boot0001 "x"`},
		{Event{Type: VariableAuthority, Data: variable(g, "Shim", make([]byte, 20))}, "Shim trusted what was started next: an entry of 4 octets"},
		{Event{Type: VariableAuthority, Data: variable(g, "SbatLevel", []byte("sbat,1\n"))}, `revocation level SbatLevel "sbat,1\n"`},
		{Event{Type: VariableAuthority, Data: []byte{1}}, "an EFI variable with lengths that cannot be"},
		{Event{Type: BootServicesApplication, Data: image}, "application "},
		{Event{Type: BootServicesApplication, Data: image[:32]}, "application of 0 octets in memory, without a path: started by a boot loader"},
		{Event{Type: RuntimeServicesDriver, Data: []byte{1}}, "runtime driver with lengths that cannot be"},
		{Event{Type: EFIAction, Data: []byte("Exit\x00x")}, `action "Exit"`},
		{Event{Type: HCRTM, Data: []byte("HCRTM")}, "hardware root of trust started the machine"},
		{Event{Type: IPL, Data: []byte("a\nb\t\x00")}, `"a\nb\t"`},
		{Event{Type: IPL, Data: []byte{0xff, 0xfe}}, "fffe"},
		{Event{Type: IPL, Data: []byte(strings.Repeat("é", 400))}, `"` + strings.Repeat("é", 150) + `…"`},
		{Event{Type: 0x8401, Data: make([]byte, 40)}, "40 octets: " + strings.Repeat("00", 32) + "…"},
	} {
		if got := c.e.Describe(); got != c.want {
			t.Errorf("%s: %q, want %q", c.e.Type, got, c.want)
		}
	}
	if got := Type(0x8401).String(); got != "event type 0x8401" || Type(0x8401).Known() || !IPL.Known() {
		t.Error(got)
	}
}
