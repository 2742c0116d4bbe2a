package cli

import (
	"fmt"
	"strings"

	"github.com/keylime/keylime-tenant/cmd/internal/pylog"
	"github.com/keylime/keylime-tenant/policy"
	"github.com/keylime/keylime-tenant/policy/runtime"
	"github.com/keylime/keylime-tenant/tenant"
	"github.com/keylime/keylime-tenant/tenant/quote"
)

// The loggers of Keylime that tell why a record is bad.
const (
	loggerIMA  = "keylime.ima"
	loggerTPM  = "keylime.tpm"
	loggerBoot = "keylime.measured_boot"
)

// attestReason is a record of another logger than keylime_attest's own.
type attestReason struct {
	logger string
	level  pylog.Level
	text   string
}

// attestReasons are the reasons why a record is bad, under the loggers of
// Keylime and with the words that scripts look for: keylime_attest's own record
// tells the first alone.
func attestReasons(findings []policy.Finding) (reasons []attestReason) {
	add := func(logger string, level pylog.Level, text string) {
		reasons = append(reasons, attestReason{logger, level, text})
	}
	files := 0
	for _, f := range findings {
		switch tenant.ReplayComponent(f.Check) {
		case "files":
			files++
			text := f.Message
			if f.Check == runtime.CheckNotInPolicy {
				text = "File not found in allowlist: " + f.Where
			}
			add(loggerIMA, pylog.Warning, text)
		case "quote":
			add(loggerTPM, pylog.Error, "Error verifying quote: "+f.Message+quoteToken(f.Check))
		case "clock", "registers":
			add(loggerTPM, pylog.Error, f.Message)
		case "boot":
			add(loggerBoot, pylog.Error, f.Message)
		default:
			add(loggerReplay, pylog.Error, f.Message)
		}
	}
	if files > 0 {
		add(loggerIMA, pylog.Error, fmt.Sprintf("IMA ERRORS: Some entries couldn't be validated. Number of failures: %d.", files))
	}
	return reasons
}

// quoteToken is the name of the exception that upstream ends with, which scripts
// know a forged quote by.
func quoteToken(check string) string {
	if _, name, _ := strings.Cut(check, "."); name == string(quote.CheckSignature) {
		return " [cryptography.exceptions.InvalidSignature]"
	}
	return ""
}
