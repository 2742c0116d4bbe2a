package eventlog

import (
	"encoding/hex"
	"os"
	"path/filepath"
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
