package argparse

import "strings"

// takePositionals takes as many positional arguments as the words from a place
// allow, and says where the next word stands.
func (r *run) takePositionals(at int) (next int, err error) {
	rest := r.pattern[at:]
	for n := len(r.positionals); n > 0; n-- {
		counts, ok := fit(r.positionals[:n], rest)
		if !ok {
			continue
		}
		taken := r.positionals[:n]
		r.positionals = r.positionals[n:]
		for i, o := range taken {
			if err := r.take(o, r.words[at:at+counts[i]]); err != nil {
				return 0, err
			}
			at += counts[i]
		}
		break
	}
	return at, nil
}

// fit says how many words each argument takes, the first as many as it can, as
// the regular expressions of argparse do. A "--" counts with either neighbour.
func fit(options []*Option, pattern string) (counts []int, ok bool) {
	if len(options) == 0 {
		return nil, true
	}
	for n := len(pattern) - len(strings.TrimLeft(pattern, "A-")); n >= 0; n-- {
		if !allows(options[0].NArgs, strings.Count(pattern[:n], "A")) {
			continue
		}
		if rest, ok := fit(options[1:], pattern[n:]); ok {
			return append([]int{n}, rest...), true
		}
	}
	return nil, false
}

func allows(n NArgs, arguments int) bool {
	switch n {
	case Optional:
		return arguments <= 1
	case Any:
		return true
	case AtLeastOne:
		return arguments >= 1
	default:
		return arguments == 1
	}
}
