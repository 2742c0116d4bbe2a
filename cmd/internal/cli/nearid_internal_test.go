package cli

import (
	"fmt"
	"slices"
	"testing"
)

func TestNearestIDs(t *testing.T) {
	t.Parallel()
	var lab []string
	for i := range 20 {
		lab = append(lab, fmt.Sprintf("d432fbb3-d2f1-4a97-9ef7-75bd81c000%02d", i))
	}
	for _, c := range []struct {
		id    string
		known []string
		want  []string
	}{
		{"d432fbb3-d2f1-4a97-9ef7-75bd81d00007", lab, []string{lab[7]}},
		{"d432fbb3-d2f1-4a97-9ef7-75bd81c0007", lab, []string{lab[7], lab[17]}}, // either
		{"d432fbb3-d2f1-4a97-9ef7-75db81c00007", lab, []string{lab[7]}},         // swapped
		{"d432fbb3-d2f1-4a97-9ef7-75bd81c00099", lab, []string{lab[9], lab[19]}},
		{"d432fbb3-d2f1-4a97-9ef7-75bd8dd0009", lab, nil}, // three edits from any
		{"d432fbb3", lab, nil}, // the beginning of all
		{"d432fbb3-d2f1-4a97-9ef7-75bd81c0001", append(lab[:1:1], lab[10]), []string{lab[10]}},
		{"web-1", []string{"web-11", "db-1", "web-2"}, []string{"web-11", "web-2"}},
		{"web", []string{"web-11", "db-1", "web-12"}, []string{"web-11", "web-12"}},
		{"nobody", lab, nil},
		{"x", nil, nil},
	} {
		if got := nearestIDs(c.id, c.known); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.id, got, c.want)
		}
	}
}
