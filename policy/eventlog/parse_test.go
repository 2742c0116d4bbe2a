package eventlog

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// TestParseFaults spoils one thing at a time and wants that fault by name,
// number and offset.
func TestParseFaults(t *testing.T) {
	t.Parallel()
	good := newAgile(SHA256).event(0, SCRTMVersion, []byte{0, 0}, []byte{0, 0}).bytes()
	header := 32 + 28 + 4 + 1
	spoil := func(at int, b ...byte) []byte {
		out := slices.Clone(good)
		copy(out[at:], b)
		return out
	}
	if _, err := Parse(good); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		log    []byte
		kind   Kind
		event  int
		offset int
		text   string
	}{
		{"empty", nil, KindEmpty, 0, 0, "empty"},
		{"too large", make([]byte, MaxSize+1), KindTooLarge, 0, MaxSize, "16 MiB"},
		{"34 octets of nothing", bytes.Repeat([]byte{0x41}, 34), KindNotALog, 0, 0, "not a TCG boot event log"},
		{"short", []byte{1, 2, 3}, KindNotALog, 0, 0, "3 octets"},
		{"YAML", []byte("---\nversion: 2\nevents:\n- EventNum: 0\n"), KindNotALog, 0, 0, "tpm2_eventlog"},
		{"JSON", []byte(`{"version": 2, "events": [{"EventNum": 0}]}`), KindNotALog, 0, 0, "JSON"},
		{"base64", []byte("AAAAAAMAAAAAAAAAAAAAAAAAAAAAAAAAAAAAACUAAABTcGVj"), KindNotALog, 0, 0, "base64"},
		{"gzip", append([]byte{0x1f, 0x8b, 8}, bytes.Repeat([]byte{9}, 40)...), KindNotALog, 0, 0, "compressed"},
		{"ACPI table", append([]byte("CCEL"), bytes.Repeat([]byte{9}, 40)...), KindNotALog, 0, 0, "ACPI"},
		{"IMA list", []byte("10 4c68b17f29b5b18e86b4cdfc8cce464b3053c558 ima-ng"), KindNotALog, 0, 0, "IMA"},
		{"header's PCR", spoil(0, 1), KindHeader, 0, 32, "PCR 1"},
		{"header's digest", spoil(8, 1), KindHeader, 0, 32, "digest"},
		{"no algorithm", spoil(32+24, 0), KindHeader, 0, 32, "0 hash algorithms"},
		{"many algorithms", spoil(32+24, 0xff, 0xff), KindHeader, 0, 32, "65535 hash algorithms"},
		{"algorithms past the end", spoil(32+24, 2), KindHeader, 0, 32, "ends before its 2"},
		{"digest size", spoil(32+30, 31), KindHeader, 0, 32, "31 octets for digests of sha256"},
		{"vendor information", spoil(header-1, 7), KindHeader, 0, 32, "7 octets of vendor information"},
		{"same bank twice in the header", newAgile(SHA256, SHA256).bytes(), KindHeader, 0, 32, "sha256 twice"},
		{"PCR", spoil(header, 32), KindPCR, 1, header, "PCR 32"},
		{"number of digests", spoil(header+8, 2), KindDigests, 1, header + 12, "2 digests"},
		{"gigabytes of digests", spoil(header+8, 0xff, 0xff, 0xff, 0x7f), KindDigests, 1, header + 12, "2147483647 digests"},
		{"algorithm", spoil(header+12, 4), KindDigests, 1, header + 14, "algorithm sha1"},
		{"truncated head", good[:header+5], KindTruncated, 1, header, "head"},
		{"truncated algorithm", good[:header+13], KindTruncated, 1, header + 12, "algorithm"},
		{"truncated digest", good[:header+20], KindTruncated, 1, header + 14, "sha256 digest"},
		{"truncated length", good[:header+48], KindTruncated, 1, header + 46, "length"},
		{"truncated data", good[:len(good)-1], KindTruncated, 1, header + 50, "2 octets"},
		{"gigabytes of data", spoil(header+46, 0xff, 0xff, 0xff, 0xff), KindTruncated, 1, header + 50, "4294967295 octets"},
	} {
		l, err := Parse(c.log)
		var e *Error
		if !errors.As(err, &e) || l != nil {
			t.Errorf("%s: %v, %v", c.name, l, err)
			continue
		}
		if e.Kind != c.kind || e.Event != c.event || e.Offset != c.offset || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: kind %s, event %d, offset %d, %q; want %s, %d, %d, %q", c.name, e.Kind, e.Event, e.Offset, err, c.kind, c.event, c.offset, c.text)
		}
	}
	two := newAgile(SHA1, SHA256).event(0, SCRTMVersion, nil, nil).bytes()
	at := len(two) - 4 - 34
	copy(two[at:], []byte{4, 0}) // the sha256 digest says sha1
	var e *Error
	if _, err := Parse(two); !errors.As(err, &e) || e.Kind != KindDigests || !strings.Contains(err.Error(), "two digests of bank sha1") {
		t.Errorf("one bank twice in an event: %v", err)
	}
}

// TestManyEvents: the number of events is bounded.
func TestManyEvents(t *testing.T) {
	t.Parallel()
	b := newAgile(SHA256).bytes()
	event := append(le32(le32(le32(nil, 1), uint32(EventTag)), 0), 0, 0, 0, 0)
	b = append(b, bytes.Repeat(event, maxEvents)...)
	var e *Error
	if _, err := Parse(b); !errors.As(err, &e) || e.Kind != KindTooLarge {
		t.Errorf("%v", err)
	}
}

// TestRead: a source without a size, one that fails, one without an end.
func TestRead(t *testing.T) {
	t.Parallel()
	raw := readFile(t, "evidence/sb-on/binary_bios_measurements")
	if l, err := Read(iotest.OneByteReader(bytes.NewReader(raw))); err != nil || len(l.Events) != 52 {
		t.Errorf("%v", err)
	}
	broken := errors.New("cable")
	var e *Error
	if _, err := Read(io.MultiReader(bytes.NewReader(raw), iotest.ErrReader(broken))); !errors.As(err, &e) || e.Kind != KindRead || !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
	if _, err := Read(endless{}); !errors.As(err, &e) || e.Kind != KindTooLarge {
		t.Errorf("%v", err)
	}
}

type endless struct{}

func (endless) Read(b []byte) (int, error) { return len(b), nil }

// TestSHA1Form reads the older form, with and without its own header.
func TestSHA1Form(t *testing.T) {
	t.Parallel()
	plain := (&logBuilder{}).event(4, IPL, []byte("MBR"), []byte("code")).event(4, Separator, make([]byte, 4), make([]byte, 4))
	l := parse(t, plain.bytes())
	if l.Header != nil || !slices.Equal(l.Banks, []string{"sha1"}) || len(l.Events) != 2 {
		t.Fatalf("%+v", l)
	}
	pcrs, err := l.Replay("sha1")
	if err != nil || len(pcrs) != 1 {
		t.Fatalf("%v, %v", pcrs, err)
	}
	want := make([]byte, 20)
	for _, m := range [][]byte{[]byte("code"), make([]byte, 4)} {
		inner, outer := NewHash("sha1"), NewHash("sha1")
		inner.Write(m)
		outer.Write(inner.Sum(want))
		want = outer.Sum(nil)
	}
	if !bytes.Equal(pcrs[4], want) {
		t.Errorf("PCR 4 is %x, want %x", pcrs[4], want)
	}
	// With the header of TPM 1.2 firmware, which extends nothing.
	headed := (&logBuilder{}).event(0, NoAction, append([]byte("Spec ID Event02\x00"), make([]byte, 12)...), nil).event(4, IPL, []byte("MBR"), []byte("code"))
	l = parse(t, headed.bytes())
	if pcrs, err := l.Replay("sha1"); err != nil || len(pcrs) != 1 || pcrs[0] != nil {
		t.Errorf("%v, %v", pcrs, err)
	}
	if got := string(l.JSON()); !strings.Contains(got, `"EventType": "EV_IPL", "DigestCount": 1, "Digests": [{"AlgorithmId": "sha1"`) {
		t.Errorf("%s", got)
	}
}

// TestStartValues: PCR 0 starts with the locality, or with 4 after an H-CRTM
// event; both count only before PCR 0 is extended. EV_NO_ACTION extends
// nothing.
func TestStartValues(t *testing.T) {
	t.Parallel()
	locality := append([]byte(startupLocality), 3)
	note := append([]byte("SP800-155 Event\x00"), make([]byte, 20)...)
	crtm := func(l *logBuilder) *logBuilder { return l.event(0, SCRTMVersion, []byte{0, 0}, []byte{0, 0}) }
	for _, c := range []struct {
		name  string
		log   *logBuilder
		start byte
		first []byte
	}{
		{"neither", crtm(newAgile(SHA256)), 0, []byte{0, 0}},
		{"another note", crtm(newAgile(SHA256).event(0xffffffff, NoAction, note, nil)), 0, []byte{0, 0}},
		{"locality 3", crtm(newAgile(SHA256).event(0, NoAction, note, nil).event(0, NoAction, locality, nil)), 3, []byte{0, 0}},
		{"H-CRTM", newAgile(SHA256).event(0, HCRTM, []byte("HCRTM"), []byte("code")), 4, []byte("code")},
		{"locality too late", crtm(newAgile(SHA256)).event(0, NoAction, locality, nil), 0, []byte{0, 0}},
	} {
		l := parse(t, c.log.bytes())
		pcrs, err := l.Replay("sha256")
		if err != nil {
			t.Fatal(err)
		}
		inner, outer := NewHash("sha256"), NewHash("sha256")
		inner.Write(c.first)
		outer.Write(append(make([]byte, 31), c.start))
		outer.Write(inner.Sum(nil))
		if l.StartupLocality() != c.start || !bytes.Equal(pcrs[0], outer.Sum(nil)) || len(pcrs) != 1 {
			t.Errorf("%s: locality %d, PCRs %x", c.name, l.StartupLocality(), pcrs)
		}
	}
}

// TestBanks: several banks, one whose algorithm is unknown, one that is absent.
func TestBanks(t *testing.T) {
	t.Parallel()
	l := parse(t, newAgile(SHA1, SHA256, SHA384, SHA512, SM3256, SHA3256, SHA3384, SHA3512).event(7, Separator, make([]byte, 4), make([]byte, 4)).bytes())
	for _, bank := range l.Banks {
		pcrs, err := l.Replay(bank)
		h := NewHash(bank)
		h.Write(make([]byte, h.Size()))
		h.Write(l.Events[1].Digest(bank))
		if err != nil || !bytes.Equal(pcrs[7], h.Sum(nil)) {
			t.Errorf("%s: %x, %v", bank, pcrs[7], err)
		}
	}
	var e *BankError
	if _, err := parse(t, newAgile(SHA256).bytes()).Replay("sha384"); !errors.As(err, &e) || e.Unknown || err.Error() != "the boot log has no sha384 digests, only sha256" {
		t.Errorf("%v", err)
	}
	raw := newAgile(SHA256).event(7, Separator, nil, nil).bytes()
	raw[32+28], raw[32+28+4+1+12] = 0x77, 0x77 // both places name an algorithm of someone's own
	if _, err := parse(t, raw).BootAggregates("alg_0x0077"); !errors.As(err, &e) || !e.Unknown {
		t.Errorf("%v", err)
	}
}

// TestSM3 has the vectors of GB/T 32905-2016, appendix A.
func TestSM3(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"abc":                      "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0",
		strings.Repeat("abcd", 16): "debe9ff92275b8a138604889c18e5a4d6fdb70e5387e5765293dcba39c0c5732",
	} {
		h := newSM3()
		for _, c := range []byte(text) {
			_, _ = h.Write([]byte{c})
		}
		if got := hex.EncodeToString(h.Sum(nil)); got != want || got != hex.EncodeToString(h.Sum(nil)) {
			t.Errorf("SM3(%q) = %s, want %s", text, got, want)
		}
	}
}

// TestPadding: unused octets at the end are counted, not parsed.
func TestPadding(t *testing.T) {
	t.Parallel()
	for _, c := range []byte{0x00, 0xff} {
		raw := newAgile(SHA256).event(7, Separator, make([]byte, 4), make([]byte, 4)).bytes()
		l := parse(t, append(raw, bytes.Repeat([]byte{c}, 5000)...))
		if l.Padding != 5000 || len(l.Events) != 2 {
			t.Errorf("%d octets of padding, %d events", l.Padding, len(l.Events))
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, boot := range boots {
		f.Add(readFile(f, "evidence", boot, "binary_bios_measurements"))
	}
	f.Add(readFile(f, "vectors/uefi_log.bin"))
	f.Add((&logBuilder{}).event(4, IPL, []byte("MBR"), []byte("code")).bytes())
	f.Add(newAgile(SHA1, SM3256).event(0, NoAction, append([]byte(startupLocality), 3), nil).event(0, HCRTM, []byte("HCRTM"), nil).bytes())
	f.Add(newAgile(SHA256).event(7, VariableDriverConfig, variable(GUID{}, "db", append(make([]byte, 16), 44, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0)), nil).bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := Parse(data)
		if err != nil {
			var e *Error
			if l != nil || !errors.As(err, &e) || e.Offset > len(data) {
				t.Fatalf("%v, %v", l, err)
			}
			return
		}
		again, err := l.Encode()
		if err != nil || !bytes.Equal(again, data) {
			t.Fatalf("%d octets became %d: %v", len(data), len(again), err)
		}
		for _, bank := range l.Banks {
			_, _ = l.BootAggregates(bank)
		}
		if out := l.JSON(); len(out) > 4096+64*len(data)+600*len(l.Events) {
			t.Fatalf("%d octets of JSON from %d", len(out), len(data))
		}
		for i := range l.Events {
			if text := l.Events[i].Describe(); text == "" || len(text) > 2000 {
				t.Fatalf("event %d: %d octets of description", i, len(text))
			}
		}
	})
}
