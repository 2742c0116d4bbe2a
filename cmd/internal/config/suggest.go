package config

import "strings"

// suggest says which of the known names may have been meant, "" if none is near.
func suggest(name string, known []string) string {
	best, nearest := "", 3
	if len(name) < 6 {
		nearest = 2
	}
	plain := strings.ReplaceAll(strings.ToLower(name), "-", "_")
	for _, candidate := range known {
		if d := distance(plain, candidate); d < nearest {
			best, nearest = candidate, d
		}
	}
	if best == "" {
		return ""
	}
	return "did you mean " + best + "?"
}

// distance is the number of letters to insert, delete, replace or swap with
// their neighbour to get from a to b (optimal string alignment).
func distance(a, b string) int {
	const limit = 64 // names of options are short; what is longer is no misprint of one
	if len(a) > limit || len(b) > limit {
		return limit
	}
	var rows [3][limit + 1]int
	for j := range len(b) + 1 {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		row, above, second := &rows[i%3], &rows[(i+2)%3], &rows[(i+1)%3]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(above[j]+1, row[j-1]+1, above[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], second[j-2]+1)
			}
		}
	}
	return rows[len(a)%3][len(b)]
}
