package upgrade

import (
	"encoding/json"
	"os"
	"testing"
)

// TestToList compares with what the adjustment of Keylime made of the same
// values (testdata/record.py).
func TestToList(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/tolist.json")
	if err != nil {
		t.Fatal(err)
	}
	var pairs [][2]string
	if err := json.Unmarshal(text, &pairs); err != nil {
		t.Fatal(err)
	}
	if len(pairs) < 1500 {
		t.Fatalf("%d pairs", len(pairs))
	}
	for _, pair := range pairs {
		got, changed := toList(pair[0])
		if !changed {
			got = pair[0]
		}
		if got != pair[1] {
			t.Errorf("%q: got %q, want %q", pair[0], got, pair[1])
		}
	}
}
