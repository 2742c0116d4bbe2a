package pyre

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// vectors are what CPython 3.11 does (testdata/vectors/README.md): for each
// pattern and mode a row of booleans, one a subject, or "ERR message".
type vectors struct {
	Strs []string
	Res  []struct {
		P, Mode string
		Row     json.RawMessage
	}
}

func readVectors(t testing.TB) vectors {
	t.Helper()
	data, err := os.ReadFile("../../testdata/vectors/python_re.json")
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestVectors(t *testing.T) {
	t.Parallel()
	v := readVectors(t)
	if len(v.Res) != 262 || len(v.Strs) < 80 {
		t.Fatalf("%d rows over %d subjects", len(v.Res), len(v.Strs))
	}
	for _, c := range v.Res {
		re, err := Compile(c.P)
		var refusal string
		if json.Unmarshal(c.Row, &refusal) == nil {
			want, ok := strings.CutPrefix(refusal, "ERR ")
			if !ok {
				t.Fatalf("row %s", c.Row)
			}
			if err == nil || err.Error() != want {
				t.Errorf("Compile(%q): %v, want %s", c.P, err, want)
			}
			continue
		}
		if err != nil {
			t.Errorf("Compile(%q): %v", c.P, err)
			continue
		}
		var row []bool
		if err := json.Unmarshal(c.Row, &row); err != nil || len(row) != len(v.Strs) {
			t.Fatalf("row %s: %v", c.Row, err)
		}
		for i, s := range v.Strs {
			apply := re.Match
			if c.Mode == "fullmatch" {
				apply = re.FullMatch
			}
			if got, err := apply(s); err != nil || got != row[i] {
				t.Errorf("%s of %q on %q: %v, %v; want %v", c.Mode, c.P, s, got, err, row[i])
			}
		}
	}
}
