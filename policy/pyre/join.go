package pyre

import "strings"

// Joined is the text to which Keylime joins excludes: "(p1)|(p2)|...", "" for
// none.
func Joined(patterns []string) string {
	if len(patterns) == 0 {
		return ""
	}
	return "(" + strings.Join(patterns, ")|(") + ")"
}

// CompileJoined compiles patterns as a Keylime verifier does, joined, without
// asking whether joining changes their meaning. The error is an *[Error] whose
// positions are those in the joined text. No patterns give nil, which matches
// nothing.
func CompileJoined(patterns []string) (*Regexp, error) {
	if len(patterns) == 0 {
		return nil, nil
	}
	return Compile(Joined(patterns))
}

// Join compiles patterns as Keylime joins them, and refuses with a *[JoinError]
// those that CPython refuses, alone or joined, and those that mean something
// else when joined than alone: conditions and back-references by number, since
// every pattern becomes a group and shifts the numbers. No patterns give nil,
// which matches nothing.
func Join(patterns []string) (*Regexp, error) {
	if len(patterns) == 0 {
		return nil, nil
	}
	for i, pattern := range patterns {
		n, err := parse(pattern)
		if err != nil {
			return nil, &JoinError{Index: i, Pattern: pattern, Err: err}
		}
		if reason := changes(n); reason != "" {
			return nil, &JoinError{Index: i, Pattern: pattern, Reason: reason}
		}
		if _, err := parse("(" + pattern + ")"); err != nil {
			return nil, &JoinError{Index: i, Pattern: pattern, Err: err,
				Reason: "Keylime puts every pattern in parentheses; write (?i:...) for (?i)..."}
		}
	}
	joined, err := Compile(Joined(patterns))
	if err != nil {
		// Each alone is in order: names are what remains to collide.
		i, pattern := culprit(patterns)
		return nil, &JoinError{Index: i, Pattern: pattern, Err: err, Reason: "a name may be given to one group of all patterns only"}
	}
	return joined, nil
}

// changes says what joining changes in a pattern, "" for nothing.
func changes(n *node) (reason string) {
	n.walk(func(n *node) bool {
		switch {
		case n.kind == kindRef && n.byNumber:
			reason = `back-reference \` + itoa(n.n) + " would mean another group, because Keylime joins all patterns to one; name the group: (?P<name>...) and (?P=name)"
		case n.kind == kindCond && n.byNumber:
			reason = "condition (?(" + itoa(n.n) + ")...) would mean another group, because Keylime joins all patterns to one; name the group: (?P<name>...) and (?(name)...)"
		}
		return reason == ""
	})
	return reason
}

// culprit is the first pattern with which the joined text cannot be parsed.
func culprit(patterns []string) (int, string) {
	for i := range patterns {
		if _, err := parse(Joined(patterns[:i+1])); err != nil {
			return i, patterns[i]
		}
	}
	last := len(patterns) - 1
	return last, patterns[last]
}
