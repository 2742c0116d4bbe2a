package cli

import (
	"strings"
	"testing"
	"time"

	"github.com/keylime/keylime-tenant/policy"
	"github.com/keylime/keylime-tenant/tenant"
)

func TestParseISO(t *testing.T) {
	t.Parallel()
	zone := time.FixedZone("", -5*3600)
	for text, want := range map[string]string{
		"2026-03-01":                       "2026-03-01T05:00:00Z",
		"20260301":                         "2026-03-01T05:00:00Z",
		"2026-03-01T08:09:10":              "2026-03-01T13:09:10Z",
		"2026-03-01 08:09":                 "2026-03-01T13:09:00Z",
		"2026-03-01T08":                    "2026-03-01T13:00:00Z",
		"2026-03-01T08:09:10.999":          "2026-03-01T13:09:10.999Z",
		"2026-03-01T08:09:10Z":             "2026-03-01T08:09:10Z",
		"2026-03-01T08:09:10+01:00":        "2026-03-01T07:09:10Z",
		"2026-03-01 08:09:10-0500":         "2026-03-01T13:09:10Z",
		"20260301T080910Z":                 "2026-03-01T08:09:10Z",
		"2026-03-01T08:09:10.123456+01:00": "2026-03-01T07:09:10.123456Z",
		"":                                 "",
		"first":                            "",
		"2026-3-1":                         "",
		"2026-02-30":                       "",
		"2026-03-01T25:00":                 "",
		"1772352000":                       "",
		"2026-03-01T08:09:10 UTC":          "",
	} {
		got := ""
		if at, err := parseISO(text, zone); err == nil {
			got = at.UTC().Format(time.RFC3339Nano)
		}
		if got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestAttestWindow(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		start, end string
		want       attestWindow
		last, bad  bool
	}{
		{"first", "last", attestWindow{0, 99999999999}, false, false},
		{"none", "last", attestWindow{99999999998, 99999999999}, true, false},
		{"none", "2026-03-01T00:00:00", attestWindow{1772323199, 1772323200}, false, false},
		{"2026-03-01", "2026-03-02", attestWindow{1772323200, 1772409600}, false, false},
		{"1900-01-01", "9999-01-01", attestWindow{0, 99999999999}, false, false},
		{"last", "last", attestWindow{}, false, true},
		{"first", "first", attestWindow{}, false, true},
	} {
		w, err := parseAttestWindow(test.start, test.end, time.UTC)
		if (err != nil) != test.bad || err == nil && (w != test.want || w.last() != test.last || w.window().Last != test.last) {
			t.Errorf("%s %s: %+v %v", test.start, test.end, w, err)
		}
	}
}

// TestReplayScreen: what has failed and recovered, what goes on, many files, and
// text of records that no terminal should obey.
func TestReplayScreen(t *testing.T) {
	t.Parallel()
	at := func(n int) *tenant.ReplayPoint {
		return &tenant.ReplayPoint{Number: n, Time: time.Unix(int64(1700000000+n), 0)}
	}
	finding := func(n int, check, where string) tenant.ReplayFinding {
		return tenant.ReplayFinding{Time: at(n).Time, Until: at(n + 4).Time, Record: n, Times: 3, Component: tenant.ReplayComponent(check), Finding: policy.Finding{Check: check, Where: where, Message: where + " is wrong"}}
	}
	first, last := at(1).Time, at(9).Time
	r := &replayResult{ReplayResult: &tenant.ReplayResult{Agents: []tenant.AgentReplay{
		{ID: "recovered", Verdict: tenant.ReplayFailed, Records: 9, Failed: 3, First: &first, Last: &last, FirstBad: at(3), LastGood: at(9),
			Findings: []tenant.ReplayFinding{finding(3, "quote.nonce", "evil\x1b[2J")}},
		{ID: "again", Verdict: tenant.ReplayFailed, Records: 9, Failed: 3, First: &first, Last: &last, FirstBad: at(3), LastGood: at(7), FailingSince: at(8),
			Findings: []tenant.ReplayFinding{finding(3, "record.form", "x")}},
		{ID: "many", Verdict: tenant.ReplayFailed, Records: 1, Failed: 1, First: &first, Last: &first, FirstBad: at(1), FailingSince: at(1)},
		{ID: "none", Verdict: tenant.ReplayNoRecords},
	}}}
	for range 30 {
		r.Agents[2].Findings = append(r.Agents[2].Findings, finding(1, "ima.not-in-policy", "/bin/x"), finding(1, "tpm-policy.pcr", "PCR"))
	}
	var b strings.Builder
	for _, s := range r.Screen() {
		b.WriteString(s.Title + "\n" + s.Text + "\n")
		for _, f := range s.Fields {
			b.WriteString(f.Name + ": " + f.Value + "\n")
		}
		if s.Table != nil {
			for _, row := range s.Table.Rows {
				b.WriteString(strings.Join(row, " | ") + "\n")
			}
		}
	}
	text := b.String()
	for _, want := range []string{
		"recovered | 9 | 2023-11-14T22:13:21Z | 2023-11-14T22:13:29Z | failed, attested again since",
		"again | 9 | 2023-11-14T22:13:21Z | 2023-11-14T22:13:29Z | failed, since 2023-11-14T22:13:28Z",
		"none | 0 | - | - | no records",
		"FAILING SINCE: 2023-11-14T22:13:28Z (record 8)", "AND NOW: the last record is good", "LAST GOOD: none in this window",
		"seen: 2023-11-14T22:13:23Z (record 3), and in 2 more records up to 2023-11-14T22:13:27Z",
		"There are 60 findings (-o json shows all).", "30 files not allowed, the first 25 of them (-o json shows all)",
		"component: quote", "component: record", "component: registers",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the screen lacks %q\n%s", want, text)
			break
		}
	}
	if strings.Contains(text, "\x1b") {
		t.Error("an escape sequence gets through")
	}
	if names := r.Names(); len(names) != 3 {
		t.Errorf("%q", names)
	}
	if err := r.failure(false); exitCode(err) != exitRefused || err.Error() != "3 of 4 agents were not attested all the time" {
		t.Errorf("%v", err)
	}
}
