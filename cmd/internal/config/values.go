package config

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

// stripped takes double quotes and blanks away at both ends, in any mixture, as
// Keylime does for texts and lists; single quotes stay (PROTOCOL.md 14.3).
func stripped(raw string) string { return strings.Trim(raw, `" `) }

// parseBool reads what RawConfigParser takes for a boolean, in any case. A
// quoted one is refused in files, as there, but allowed in the environment.
func parseBool(raw string, from OriginKind) (bool, error) {
	text := raw
	if from != OriginFile {
		text = stripped(raw)
	}
	switch strings.ToLower(text) {
	case "1", "yes", "true", "on":
		return true, nil
	case "0", "no", "false", "off":
		return false, nil
	}
	if from == OriginFile {
		if _, err := parseBool(raw, OriginEnv); err == nil {
			return false, errors.New("a boolean must not stand in quotes")
		}
	}
	return false, errors.New("not a boolean")
}

// parseInt reads a decimal integer as Python's int does: blanks around it, a
// sign, single underscores between digits.
func parseInt(raw string) (int, error) {
	text := strings.TrimFunc(raw, isPySpace)
	digits := strings.TrimLeft(text, "+-")
	if len(text)-len(digits) > 1 || !groupedDigits(digits) {
		return 0, errors.New("not an integer")
	}
	n, err := strconv.Atoi(strings.ReplaceAll(text, "_", ""))
	if err != nil {
		return 0, errors.New("the integer is too large")
	}
	return n, nil
}

// groupedDigits says whether text is digits with at most one underscore
// between any two of them.
func groupedDigits(text string) bool {
	previous := byte('_')
	for i := range len(text) {
		c := text[i]
		if c == '_' && previous == '_' || c != '_' && (c < '0' || c > '9') {
			return false
		}
		previous = c
	}
	return previous != '_'
}

// parseFloat reads a finite decimal number as Python's float does.
func parseFloat(raw string) (float64, error) {
	text := strings.TrimFunc(raw, isPySpace)
	for i, r := range text {
		digit := func(at int) bool { return at >= 0 && at < len(text) && text[at] >= '0' && text[at] <= '9' }
		switch {
		case r == '_' && digit(i-1) && digit(i+1):
		case strings.ContainsRune("0123456789+-.eE", r):
		default:
			return 0, errors.New("not a finite number")
		}
	}
	n, err := strconv.ParseFloat(strings.ReplaceAll(text, "_", ""), 64)
	if err != nil || math.IsInf(n, 0) {
		return 0, errors.New("not a finite number")
	}
	return n, nil
}

// parsePort reads a TCP port; Keylime keeps ports as texts.
func parsePort(raw string) (int, error) {
	text := stripped(raw)
	n, err := strconv.Atoi(text)
	if err != nil || text[0] == '+' || n < 1 || n > 65535 {
		return 0, errors.New("not a port")
	}
	return n, nil
}
