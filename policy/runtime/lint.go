package runtime

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/keylime/keylime-tenant/policy/pyre"
)

// Rules of [Policy.Lint].
const (
	RuleEmpty           = "empty"
	RuleBadExclude      = "bad-exclude"
	RuleWideExclude     = "wide-exclude"
	RuleSystemExclude   = "system-exclude"
	RuleDeadExclude     = "dead-exclude"
	RuleSlowExclude     = "slow-exclude"
	RuleDuplicate       = "duplicate"
	RuleExcludedDigest  = "excluded-digest"
	RuleDigestLength    = "digest-length"
	RuleBlankPath       = "blank-path"
	RuleRelativePath    = "relative-path"
	RuleNeverMeasured   = "never-measured"
	RuleNoBootAggregate = "no-boot-aggregate"
	RuleIgnoredKeyrings = "ignored-keyrings"
	RuleLogHash         = "log-hash"
	RuleKeys            = "keys"
	RuleVersion         = "version"
)

// Note is one remark on a policy that is valid and yet likely wrong.
type Note struct {
	// Rule is the stable name of the remark, one of the Rule constants.
	Rule string `json:"rule"`
	// Grave says that the policy will not do what it is for.
	Grave bool `json:"grave"`
	// Where is the path, pattern or key concerned.
	Where string `json:"where,omitempty"`
	// Message is one sentence without a period.
	Message string `json:"message"`
	// Remedy says what to do.
	Remedy string `json:"remedy,omitempty"`
}

// Lint looks for what a policy's author will not have meant. Remarks that hold
// for many entries come once, with the number and the first of them.
func (p *Policy) Lint() []Note {
	l := &linter{p: p}
	l.whole()
	l.excludePatterns()
	l.paths()
	return l.notes
}

type linter struct {
	p        *Policy
	notes    []Note
	excludes *pyre.Regexp
}

func (l *linter) note(rule string, grave bool, where, message, remedy string) {
	l.notes = append(l.notes, Note{rule, grave, where, message, remedy})
}

// whole looks at what is there once.
func (l *linter) whole() {
	p := l.p
	if p.Digests.Len() == 0 && p.VerificationKeys == "" {
		l.note(RuleEmpty, true, "", "no digest and no verification key: every file that is not excluded is refused",
			"make the policy from a machine in a good state, or from its packages")
	}
	if slices.Contains(p.IMA.IgnoredKeyrings, "*") {
		l.note(RuleIgnoredKeyrings, false, "*", "no key that a machine adds to its keyrings is checked", "name the keyrings that need not be checked")
	}
	if p.IMA.LogHashAlg != "sha1" {
		l.note(RuleLogHash, false, p.IMA.LogHashAlg, "log_hash_alg is "+p.IMA.LogHashAlg+", but the kernel's list shows SHA-1 whatever ima_hash says", "set it to sha1 unless the list has longer template hashes")
	}
	if p.Meta.Version > Version {
		l.note(RuleVersion, false, "", fmt.Sprintf("format version %d is newer than the %d that is known here", p.Meta.Version, Version), "")
	}
	if _, problems, err := parseKeyring(p.VerificationKeys); err != nil || len(problems) > 0 {
		if err == nil {
			err = problems[0]
		}
		l.note(RuleKeys, true, "verification-keys", "a verification key cannot be used: "+err.Error(), "add the key again from its file")
	}
}

// probes are paths that hardly a policy means to leave unchecked, all together.
var probes = []string{"/usr/bin/bash", "/etc/passwd", "/init", "/opt/q7/x", "/lib/modules/6.1.0/kernel/fs/ext4/ext4.ko"}

// system are probes that are grave enough to name when excluded.
var system = []string{"/usr/bin/bash", "/bin/sh", "/usr/sbin/sshd", "/sbin/init", "/usr/lib/systemd/systemd", "/lib/modules/6.1.0/kernel/fs/ext4/ext4.ko", "/boot/vmlinuz"}

func (l *linter) excludePatterns() {
	p := l.p
	err := checkExcludes(p.Excludes, nil)
	if err != nil {
		l.note(RuleBadExclude, true, excludeOf(err), err.Error()+"; a verifier then excludes nothing, or something else", "correct or remove the pattern")
	}
	if compiled, err := pyre.CompileJoined(p.Excludes); err == nil {
		l.excludes = compiled
	}
	for i, pattern := range p.Excludes {
		if slices.Contains(p.Excludes[:i], pattern) {
			l.note(RuleDuplicate, false, pattern, fmt.Sprintf("exclude %q is there more than once", pattern), "remove one")
			continue
		}
		re, err := pyre.Compile(pattern)
		if err != nil {
			continue // said above
		}
		switch hits, err := countMatches(re, probes); {
		case err != nil:
			l.note(RuleSlowExclude, true, pattern, fmt.Sprintf("exclude %q takes too long on an ordinary path", pattern), "write it with fewer nested repetitions")
		case hits == len(probes):
			l.note(RuleWideExclude, true, pattern, fmt.Sprintf("exclude %q matches every path: no file is checked", pattern), "name the directories that change by themselves, for example /tmp/.*")
		default:
			l.directories(pattern, re)
		}
	}
}

func excludeOf(err error) string {
	var e *ExcludeError
	if errors.As(err, &e) {
		return e.Pattern
	}
	return ""
}

// directories looks at a pattern that is not as wide as all.
func (l *linter) directories(pattern string, re *pyre.Regexp) {
	for _, path := range system {
		if found, err := re.Match(path); err == nil && found {
			l.note(RuleSystemExclude, false, pattern, fmt.Sprintf("exclude %q leaves system files unchecked, such as %s", pattern, path), "exclude only what changes by itself")
			return
		}
	}
	// A pattern that begins with letters can match nothing that IMA writes but
	// boot_aggregate and names of keyrings and buffers.
	if !literalStart(pattern) {
		return
	}
	names := []string{"boot_aggregate", "kernel_version", "dm_table_load", "kexec-cmdline", "selinux-state"}
	for name := range l.p.Keyrings.All() {
		names = append(names, name)
	}
	for name := range l.p.IMABuf.All() {
		names = append(names, name)
	}
	if hits, err := countMatches(re, names); err == nil && hits == 0 {
		l.note(RuleDeadExclude, false, pattern, fmt.Sprintf("exclude %q matches no path: patterns are held to the beginning of a path, which is /", pattern), fmt.Sprintf("write %q", "/"+pattern+" or .*"+pattern))
	}
}

// literalStart tells whether every match of the pattern surely begins with a
// certain letter.
func literalStart(pattern string) bool {
	first, rest := strings.TrimPrefix(pattern, "^"), ""
	if first != "" {
		first, rest = first[:1], first[1:]
	}
	letter := first >= "a" && first <= "z" || first >= "A" && first <= "Z"
	return letter && !strings.HasPrefix(rest, "?") && !strings.HasPrefix(rest, "*") && !strings.HasPrefix(rest, "{") && !strings.Contains(rest, "|")
}

func countMatches(re *pyre.Regexp, subjects []string) (int, error) {
	n := 0
	for _, s := range subjects {
		found, err := re.Match(s)
		if err != nil {
			return 0, err
		}
		if found {
			n++
		}
	}
	return n, nil
}

// unmeasured are file systems that the kernel's own IMA policies leave out.
var unmeasured = []string{"/proc/", "/sys/", "/dev/", "/run/"}

// counted is a remark that may hold for many entries.
type counted struct {
	n     int
	first string
}

func (c *counted) add(where string) {
	if c.n++; c.n == 1 {
		c.first = where
	}
}

func (c *counted) note(l *linter, rule string, grave bool, message, remedy string) {
	if c.n > 0 {
		l.note(rule, grave, c.first, fmt.Sprintf("%d %s, the first is %q", c.n, message, c.first), remedy)
	}
}

// paths looks at digests and their names.
func (l *linter) paths() {
	var length, blank, relative, never, excluded, twice counted
	for _, m := range []*DigestMap{&l.p.Digests, &l.p.Keyrings, &l.p.IMABuf} {
		for name, digests := range m.All() {
			seen := make(map[string]bool, len(digests))
			for _, d := range digests {
				if !slices.Contains([]int{40, 64, 96, 128}, len(d)) {
					length.add(name)
				}
				if seen[d] {
					twice.add(name)
				}
				seen[d] = true
			}
		}
	}
	boot := l.p.Digests.Has("boot_aggregate")
	for path := range l.p.Digests.All() {
		found, err := l.excludes.Match(path)
		switch {
		case path == "boot_aggregate":
		case strings.Contains(path, " "):
			blank.add(path)
		case !strings.HasPrefix(path, "/"):
			relative.add(path)
		case slices.ContainsFunc(unmeasured, func(dir string) bool { return strings.HasPrefix(path, dir) }):
			never.add(path)
		case err == nil && found:
			excluded.add(path)
		}
	}
	length.note(l, RuleDigestLength, false, "digest(s) have the length of no hash that IMA uses, and equal none", "write SHA-1, SHA-256, SHA-384 or SHA-512 digests")
	twice.note(l, RuleDuplicate, false, "digest(s) stand more than once under one name", "")
	blank.note(l, RuleBlankPath, false, "path(s) have a blank, for which the kernel's list shows an underscore", "write _ for blanks")
	relative.note(l, RuleRelativePath, false, "path(s) do not begin with /, so no file matches", "write whole paths")
	never.note(l, RuleNeverMeasured, false, "path(s) lie on file systems that the kernel does not measure", "remove them")
	excluded.note(l, RuleExcludedDigest, false, "path(s) are excluded, so their digests are never looked at", "remove the digests or narrow the exclude")
	if found, err := l.excludes.Match("boot_aggregate"); !boot && l.p.Digests.Len() > 0 && (err != nil || !found) {
		l.note(RuleNoBootAggregate, false, "boot_aggregate", "boot_aggregate is not in the policy, so the first line of every list is refused unless the boot log is quoted too", "add its digest from the machine's list, or exclude boot_aggregate")
	}
}
