package upgrade

import (
	"fmt"
	"strconv"
	"strings"
)

// Version is the number of a configuration's form, which is not that of the
// program: 2.6 is the newest that Keylime 7.14.3 knows.
type Version struct{ Major, Minor int }

// unversioned is what a configuration without a number counts as: the one file
// keylime.conf, from before there were numbers.
var unversioned = Version{1, 0}

// ParseVersion reads MAJOR.MINOR; blanks and quotes around it do not count,
// since the agent's file is TOML.
func ParseVersion(text string) (Version, bool) {
	major, minor, found := strings.Cut(strip(text), ".")
	if !found {
		return Version{}, false
	}
	var v Version
	for _, part := range []struct {
		text string
		into *int
	}{{major, &v.Major}, {minor, &v.Minor}} {
		if part.text == "" || strings.Trim(part.text, "0123456789") != "" {
			return Version{}, false
		}
		n, err := strconv.Atoi(part.text)
		if err != nil {
			return Version{}, false
		}
		*part.into = n
	}
	return v, true
}

// String is MAJOR.MINOR.
func (v Version) String() string { return fmt.Sprintf("%d.%d", v.Major, v.Minor) }

// Compare is -1, 0 or 1: 2.10 is newer than 2.9.
func (v Version) Compare(o Version) int {
	switch {
	case v == o:
		return 0
	case v.Major < o.Major, v.Major == o.Major && v.Minor < o.Minor:
		return -1
	}
	return 1
}

// strip takes blanks and double quotes from both ends of a value.
func strip(text string) string { return strings.Trim(text, `" `) }
