package cli

import (
	"regexp"
	"strings"
	"testing"
)

// TestManPages holds the pages to what people and suites look for in them
// (TENANT-CLI.md C.3).
func TestManPages(t *testing.T) {
	t.Parallel()
	pages := map[string]string{}
	for _, p := range manPages(t.Context()) {
		if pages[p.name] != "" {
			t.Errorf("two pages are called %s", p.name)
		}
		pages[p.name] = strings.ReplaceAll(string(p.text), `\-`, "-")
		for _, line := range strings.Split(string(p.text), "\n") {
			if strings.HasPrefix(line, ".") && !regexp.MustCompile(`^\.(TH|SH|SS|PP|TP|nf|fi)\b`).MatchString(line) {
				t.Errorf("%s: %q is taken for a request", p.name, line)
			}
		}
	}
	for name, want := range map[string][]string{
		"keylime_tenant":                       {".SH NAME", ".SH SYNOPSIS", ".SH DESCRIPTION", ".SH OPTIONS", "--help", ".SH COMMANDS", "explain", ".SH EXAMPLES", ".SH EXIT CODES"},
		"keylime-policy":                       {".SH NAME", ".SH COMMANDS", "--add-ima-signature-verification-key IMA_SIGNATURE_KEYS", ".SH EXAMPLES"},
		"keylime_tenant-classic":               {"--mb_refstate", "-nvc"},
		"keylime_tenant-add":                   {".SH OPTIONS", ".SS The agent", "--targethost HOST", ".SS ", ".SH EXAMPLES"},
		"keylime_tenant-watch":                 {"--exec CMD", "KEYLIME_WATCH_AGENT"},
		"keylime_tenant-policy-create-runtime": {"--rootfs"},
		"create_mb_refstate":                   {"--without-secureboot"},
		"keylime_ca":                           {"import-priv"},
	} {
		at := 0
		for _, text := range want {
			found := strings.Index(pages[name][at:], text)
			if found < 0 {
				t.Errorf("%s lacks %q, or has it before what should precede it", name, text)
				continue
			}
			at += found
		}
	}
}
