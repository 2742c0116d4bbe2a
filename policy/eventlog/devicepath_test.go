package eventlog

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const testdata = "../../testdata"

// devicePaths reads the recorded paths and libefivar's text for each.
func devicePaths(tb testing.TB) map[string]string {
	tb.Helper()
	raw, err := os.ReadFile(filepath.Join(testdata, "vectors/devicepaths.tsv"))
	if err != nil {
		tb.Fatal(err)
	}
	paths := map[string]string{}
	for _, line := range strings.Split(strings.TrimSuffix(string(raw), "\n"), "\n") {
		fields := strings.Split(line, "\t")
		paths[fields[0]] = fields[1]
	}
	return paths
}

// TestDevicePathRecorded compares with libefivar 37 on every path of thirty
// real logs.
func TestDevicePathRecorded(t *testing.T) {
	t.Parallel()
	paths := devicePaths(t)
	if len(paths) < 120 {
		t.Fatalf("only %d recorded paths", len(paths))
	}
	for path, want := range paths {
		b, err := hex.DecodeString(path)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := DevicePath(b); err != nil || got != want {
			t.Errorf("%s:\n got %q, %v\nwant %q", path, got, err, want)
		}
	}
}

// TestDevicePathNodes has one node of every kind, with the text that libefivar
// 37 gave for the same octets.
func TestDevicePathNodes(t *testing.T) {
	t.Parallel()
	for _, c := range nodeVectors {
		b, err := hex.DecodeString(c.path)
		if err != nil {
			t.Fatal(err)
		}
		got, err := DevicePath(b)
		if err != nil {
			got = "error"
		}
		if got != c.want {
			t.Errorf("%s: got %q, want %q", c.path, got, c.want)
		}
	}
}

func FuzzDevicePath(f *testing.F) {
	for path := range devicePaths(f) {
		b, _ := hex.DecodeString(path)
		f.Add(b)
	}
	for _, c := range nodeVectors {
		b, _ := hex.DecodeString(c.path)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, path []byte) {
		text, err := DevicePath(path)
		if err != nil && text != "" {
			t.Fatalf("text %q with an error", text)
		}
		if len(text) > 64+32*len(path) {
			t.Fatalf("%d octets of text from %d", len(text), len(path))
		}
	})
}

// TestDevicePathBounded: libefivar prints some nodes to the end of the whole
// path, so that the text of a path of many such nodes grows with the square of
// its length: 64 kB made a gigabyte.
func TestDevicePathBounded(t *testing.T) {
	t.Parallel()
	nvdimm := []byte{0x02, 0x01, 12, 0, 0x09, 0x8e, 0x12, 0x00, 0, 0, 0, 0, 0x02, 0x03, 4, 0}
	bbs := append([]byte{0x05, 0x01, 0x0c, 0x01}, bytes.Repeat([]byte{'a'}, 0x10c-4)...)
	end := []byte{0x7f, 0xff, 4, 0}
	for name, node := range map[string][]byte{"NVDIMM": nvdimm, "BBS": bbs} {
		alone := append(slices.Clone(node), end...)
		if name == "BBS" {
			alone[len(node)-1] = 0 // or its text goes on
		}
		one, err := DevicePath(alone)
		if err != nil || one == "" {
			t.Errorf("%s: %q, %v", name, one, err)
		}
		path := append(bytes.Repeat(node, 1<<20/len(node)), end...)
		if text, err := DevicePath(path); err == nil || len(text) > maxText {
			t.Errorf("%s: %d octets give %d octets of text, %v", name, len(path), len(text), err)
		}
	}
	// Without an end node nothing is printed for a NVDIMM, but it was looked for
	// from every node.
	if text, err := DevicePath(bytes.Repeat(nvdimm, 1<<10)); err != nil || !strings.HasPrefix(text, "NvRoot()/AcpiAdr()/NvRoot()") {
		t.Errorf("%.60q, %v", text, err)
	}
	w := nodeWriter{end: unknownEnd}
	path := append(append(slices.Clone(nvdimm), end...), 1, 2, 3)
	if a, b := w.sizeToEnd(path), w.sizeToEnd(path[12:]); a != len(path)-3 || b != a-12 {
		t.Errorf("sizes to the end: %d, %d", a, b)
	}
}
