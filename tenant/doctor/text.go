package doctor

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// soon is how long before its end a certificate is worth a warning.
const soon = 30 * 24 * time.Hour

// textLimit is how much of others' text a finding repeats, in bytes.
const textLimit = 300

// safe makes text of others fit for a terminal: of limited length, and quoted
// if it holds anything but printable characters.
func safe(text string) string {
	if len(text) > textLimit {
		text = strings.ToValidUTF8(text[:textLimit], "") + "..."
	}
	if strings.ContainsFunc(text, func(r rune) bool { return !strconv.IsPrint(r) }) || strings.ToValidUTF8(text, "") != text {
		return strconv.Quote(text)
	}
	return text
}

// word writes a path or an id so that a shell reads it as one word.
func word(text string) string {
	plain := text != "" && !strings.HasPrefix(text, "-")
	for _, r := range text {
		if !strings.ContainsRune("-_./:=,@+", r) && !('0' <= r && r <= '9') && !('a' <= r && r <= 'z') && !('A' <= r && r <= 'Z') {
			plain = false
		}
	}
	if plain {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

// fingerprint is the beginning of a certificate's SHA-256, enough to tell one from
// another by eye.
func fingerprint(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return "sha256 " + hex.EncodeToString(sum[:8])
}

// subject is the name of a certificate's holder for people.
func subject(cert *x509.Certificate) string {
	if cn := cert.Subject.CommonName; cn != "" {
		return strconv.Quote(safe(cn))
	}
	return strconv.Quote(safe(cert.Subject.String()))
}

// issuer is the name of a certificate's issuer for people.
func issuer(cert *x509.Certificate) string {
	if cn := cert.Issuer.CommonName; cn != "" {
		return strconv.Quote(safe(cn))
	}
	return strconv.Quote(safe(cert.Issuer.String()))
}

// day is a date and how far away it is.
func day(at, now time.Time) string {
	text := at.UTC().Format(time.DateOnly)
	switch d := at.Sub(now); {
	case d > 0:
		return text + " (in " + span(d) + ")"
	default:
		return text + " (" + span(-d) + " ago)"
	}
}

// span is a duration in its largest unit.
func span(d time.Duration) string {
	switch {
	case d < 2*time.Second:
		return fmt.Sprintf("%.1f seconds", d.Seconds())
	case d < 2*time.Minute:
		return fmt.Sprintf("%d seconds", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d minutes", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d hours", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours())/24)
}

// count writes a number and its noun.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// some joins at most a few items.
func some(items []string) string {
	const most = 5
	if len(items) > most {
		return strings.Join(items[:most], ", ") + fmt.Sprintf(" and %d more", len(items)-most)
	}
	return strings.Join(items, ", ")
}
