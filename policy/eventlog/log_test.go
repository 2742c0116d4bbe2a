package eventlog

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
)

var boots = []string{"bios", "sb-off", "sb-on", "sb-on-cmdline-changed", "sb-on-ima-violation", "sb-on-initrd-changed", "sb-on-reboot"}

func readFile(tb testing.TB, path ...string) []byte {
	tb.Helper()
	b, err := os.ReadFile(filepath.Join(append([]string{testdata}, path...)...))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func parse(tb testing.TB, data []byte) *Log {
	tb.Helper()
	l, err := Parse(data)
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

// TestReplayRecorded compares the replay of every recorded boot, in every
// bank, with what the TPM held. PCR 10 is IMA's, and no log has it.
func TestReplayRecorded(t *testing.T) {
	t.Parallel()
	for _, boot := range boots {
		l := parse(t, readFile(t, "evidence", boot, "binary_bios_measurements"))
		replayed := map[string]map[int][]byte{}
		for _, bank := range []string{"sha1", "sha256", "sha384"} {
			pcrs, err := l.Replay(bank)
			if err != nil {
				t.Fatal(err)
			}
			replayed[bank] = pcrs
		}
		compared := 0
		for _, line := range strings.Split(strings.TrimSpace(string(readFile(t, "evidence", boot, "pcrs.txt"))), "\n") {
			f := strings.Fields(line)
			n, err := strconv.Atoi(f[1])
			if err != nil {
				t.Fatal(err)
			}
			got, occurs := replayed[f[0]][n]
			switch {
			case n > 9 && n != 14:
				if occurs {
					t.Errorf("%s: PCR %d is in the replay", boot, n)
				}
			case occurs && !strings.EqualFold(hex.EncodeToString(got), f[2]):
				t.Errorf("%s: bank %s, PCR %d: replayed %x, the TPM held %s", boot, f[0], n, got, f[2])
			case !occurs && strings.Trim(f[2], "0") != "":
				t.Errorf("%s: bank %s, PCR %d: not in the log, the TPM held %s", boot, f[0], n, f[2])
			case occurs:
				compared++
			}
		}
		if want := 3 * 11; compared < want && (boot != "bios" || compared < 3*8) {
			t.Errorf("%s: only %d registers compared", boot, compared)
		}
	}
}

// TestBootAggregate compares with what IMA measured as boot_aggregate.
func TestBootAggregate(t *testing.T) {
	t.Parallel()
	for _, boot := range boots[1:] {
		l := parse(t, readFile(t, "evidence", boot, "binary_bios_measurements"))
		sums, err := l.BootAggregates("sha256")
		if err != nil || len(sums) != 2 {
			t.Fatalf("%s: %q, %v", boot, sums, err)
		}
		line := strings.Fields(strings.SplitN(string(readFile(t, "evidence", boot, "ima_ascii.txt")), "\n", 2)[0])
		if line[4] != "boot_aggregate" || line[3] != "sha256:"+sums[1] {
			t.Errorf("%s: IMA has %s, the log gives %s", boot, line[3], sums[1])
		}
	}
	sums, err := parse(t, readFile(t, "evidence/bios/binary_bios_measurements")).BootAggregates("sha256")
	if err != nil || len(sums) != 1 {
		t.Errorf("a log without PCRs 8 and 9 gives %q, %v; want the one of PCRs 0-7 only", sums, err)
	}
}

// TestJSON compares with Keylime's own reading of a real log, key by key, and
// in the order of the keys. The differences allowed are those that JSON
// documents.
func TestJSON(t *testing.T) {
	t.Parallel()
	got := parse(t, readFile(t, "vectors/uefi_log.bin")).JSON()
	want := readFile(t, "vectors/uefi_log.parsed.json")
	var g, w any
	for raw, into := range map[*[]byte]*any{&got: &g, &want: &w} {
		d := json.NewDecoder(bytes.NewReader(*raw))
		d.UseNumber()
		if err := d.Decode(into); err != nil {
			t.Fatal(err)
		}
	}
	differences := map[string]int{}
	compareJSON(t, "", g, w, differences)
	// The device paths that Keylime unescapes, and texts with line breaks.
	if want := map[string]int{"device path": 2, "line break": 2}; !reflect.DeepEqual(differences, want) {
		t.Errorf("differences %v, want %v", differences, want)
	}
	if g, w := keys(t, got), keys(t, want); g != w {
		t.Errorf("the keys come in another order:\n got %.600s\nwant %.600s", g, w)
	}
}

func compareJSON(t *testing.T, at string, got, want any, differences map[string]int) {
	t.Helper()
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok || len(g) != len(w) {
			t.Errorf("%s: got %.200v, want %.200v", at, got, want)
			return
		}
		for k, v := range w {
			if _, ok := g[k]; !ok {
				t.Errorf("%s: no %s", at, k)
			}
			compareJSON(t, at+"."+k, g[k], v, differences)
		}
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			t.Errorf("%s: got %.200v, want %.200v", at, got, want)
			return
		}
		for i := range w {
			compareJSON(t, fmt.Sprintf("%s[%d]", at, i), g[i], w[i], differences)
		}
	default:
		if got == want {
			return
		}
		g, _ := got.(string)
		w, _ = want.(string)
		switch {
		case strings.HasSuffix(at, ".DevicePath") && unescape(g) == w:
			differences["device path"]++
		case strings.HasSuffix(at, ".String") && strings.ReplaceAll(strings.TrimSuffix(g, "\n"), "\n", "\"\n\"") == w:
			differences["line break"]++
		default:
			t.Errorf("%s: got %q, want %q", at, got, want)
		}
	}
}

// unescape does to a device path what Keylime does (PROTOCOL.md 12.4).
func unescape(s string) string {
	return strings.NewReplacer(`\0`, "\x00", `\a`, "\a", `\b`, "\b", `\t`, "\t", `\v`, "\v", `\f`, "\f", `\r`, "\r", `\e`, "\x1b").Replace(s)
}

// keys lists the keys of a JSON document in their order.
func keys(t *testing.T, raw []byte) string {
	t.Helper()
	var out []string
	d := json.NewDecoder(bytes.NewReader(raw))
	var walk func()
	walk = func() {
		token, err := d.Token()
		if err != nil {
			t.Fatal(err)
		}
		switch token {
		case json.Delim('{'):
			for d.More() {
				k, _ := d.Token()
				out = append(out, fmt.Sprint(k))
				walk()
			}
			_, _ = d.Token()
		case json.Delim('['):
			for d.More() {
				walk()
			}
			_, _ = d.Token()
		}
	}
	walk()
	return strings.Join(out, " ")
}

// TestEncode: what was parsed is written back octet for octet.
func TestEncode(t *testing.T) {
	t.Parallel()
	for _, boot := range boots {
		raw := readFile(t, "evidence", boot, "binary_bios_measurements")
		got, err := parse(t, raw).Encode()
		if err != nil || !bytes.Equal(got, raw) {
			t.Errorf("%s: %v, %d octets became %d", boot, err, len(raw), len(got))
		}
	}
	raw := append((&logBuilder{}).event(4, IPL, []byte("MBR"), []byte("x")).bytes(), 0, 0, 0)
	if got, err := parse(t, raw).Encode(); err != nil || !bytes.Equal(got, raw) {
		t.Errorf("SHA-1 form with padding: %v, %x became %x", err, raw, got)
	}
}

// TestMeasure: a changed command line can be measured anew.
func TestMeasure(t *testing.T) {
	t.Parallel()
	l := parse(t, readFile(t, "evidence/sb-on/binary_bios_measurements"))
	for i := range l.Events {
		e := &l.Events[i]
		text, ok := strings.CutPrefix(e.Text(), "kernel_cmdline: ")
		if !ok {
			continue
		}
		old := e.Digest("sha256")
		if err := e.Measure([]byte(text)); err != nil || !bytes.Equal(old, e.Digest("sha256")) {
			t.Errorf("measured %x, the log has %x, %v", e.Digest("sha256"), old, err)
		}
		return
	}
	t.Error("no kernel command line")
}

func BenchmarkParseReplay(b *testing.B) {
	raw := readFile(b, "vectors/uefi_log.bin")
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := parse(b, raw).Replay("sha256"); err != nil {
			b.Fatal(err)
		}
	}
}
