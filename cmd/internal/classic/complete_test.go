package classic

import (
	"slices"
	"strings"
	"testing"
)

func TestCompletes(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]bool{
		"-c|":                  true,
		"-c|cv":                true,
		"--command|":           true,
		"-c cvlist|":           true,
		"--mb|":                true,
		"-|":                   true,
		"-t 10.0.0.7|":         true,
		"-r 10.0.0.7|":         false, // a verb may follow
		"-r 10.0.0.7|--mb":     true,
		"-r|":                  false, // its value
		"-o json|":             false,
		"--quiet|re":           false,
		"|":                    false,
		"|re":                  false,
		"add x|--mb":           false,
		"-r h add x|--mb":      false,
		"add -c|":              true, // a verb behind -c, as Is decides
		"--output=json|--rp":   true,
		"--output=json|status": false,
	} {
		before, last, _ := strings.Cut(line, "|")
		if got := Completes(strings.Fields(before), last); got != want {
			t.Errorf("%s: %t", line, got)
		}
	}
}

func TestComplete(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]struct {
		wanted Wanted
		word   string
		first  string // of names or endings
		count  int
	}{
		"-c|cv":                               {WantNames, "cv", "add", 24},
		"-c|":                                 {WantNames, "", "add", 24},
		"|--mb":                               {WantNames, "--mb", "--mb_refstate", 3},
		"-c add|--mb":                         {WantNames, "--mb", "--mb_refstate", 3},
		"-c reglist|--mb":                     {WantNames, "--mb", "", 0},
		"-c reglist|--r":                      {WantNames, "--r", "--registrarhost", 2},
		"-c addmbpolicy|--mb":                 {WantNames, "--mb", "--mb_refstate", 3},
		"-c showmbpolicy|--mb":                {WantNames, "--mb", "--mb-policy-name", 1},
		"-c showmbpolicy|-u":                  {WantNames, "-u", "", 0},
		"-c cvstatus|-u":                      {WantNames, "-u", "-u", 1},
		"-c cvstatus|--t":                     {WantNames, "--t", "--timeout", 1},
		"|-c":                                 {WantNames, "-c", "-c", 1},
		"-c add -u|":                          {WantRegistered, "", "", 0},
		"-u|d4":                               {WantRegistered, "d4", "", 0},
		"-c regdelete --uuid|":                {WantRegistered, "", "", 0},
		"-c cvstatus|--uuid=d4":               {WantEnrolled, "d4", "", 0},
		"-ccvstatus -u|":                      {WantEnrolled, "", "", 0},
		"-c=cvstatus -u|":                     {WantEnrolled, "", "", 0},
		"-c update -u|":                       {WantEnrolled, "", "", 0},
		"-c status --uu|":                     {WantAgent, "", "", 0},
		"-c frob -u|":                         {WantRegistered, "", "", 0},
		"-c add --mb_refs|":                   {WantFile, "", "json", 1},
		"-c add|--runtime-policy=x":           {WantFile, "x", "json", 1},
		"-c add -f|":                          {WantFile, "", "", 0},
		"-c add --cert|":                      {WantDir, "", "", 0},
		"-c add -t|":                          {WantNothing, "", "", 0},
		"-c add|":                             {WantNothing, "", "", 0},
		"-c add|x":                            {WantNothing, "x", "", 0},
		"-c add -o|":                          {WantFormat, "", "", 0},
		"-c add --mb-policy-name|":            {WantMBPolicy, "", "", 0},
		"-c showruntimepolicy --allowlist-n|": {WantRuntimePolicy, "", "", 0},
		"-c add|--verify=":                    {WantNothing, "--verify=", "", 0},
		"-c add|--nosuch=":                    {WantNothing, "--nosuch=", "", 0},
		"-c add --regis|":                     {WantNothing, "", "", 0}, // ambiguous
		"-nvc -c delete -u|":                  {WantEnrolled, "", "", 0},
	} {
		before, last, _ := strings.Cut(line, "|")
		got := Complete(strings.Fields(before), last)
		first, count := "", len(got.Names)+len(got.Endings)
		if len(got.Names) > 0 {
			first = got.Names[0].Name
		} else if len(got.Endings) > 0 {
			first = got.Endings[0]
		}
		if got.Wanted != want.wanted || got.Word != want.word || first != want.first || count != want.count {
			t.Errorf("%s: %+v", line, got)
		}
	}
}

// TestCompleteServers: the servers that were named are the ones to ask.
func TestCompleteServers(t *testing.T) {
	t.Parallel()
	got := Complete(strings.Fields("-r 10.0.0.1 -rp 1 --cv=10.0.0.2 -vp 2 -vi two -t other --show-secrets -c cvstatus -u"), "").Given
	want := map[string]string{"registrarhost": "10.0.0.1", "registrarport": "1", "cv": "10.0.0.2", "cvport": "2", "cvid": "two"}
	for name, value := range want {
		if got[name] != value {
			t.Errorf("%s: %q", name, got[name])
		}
	}
	if len(got) != len(want) {
		t.Errorf("got %v", got)
	}
}

// TestCompleteDescribes: everything that is offered says what it is about, and
// deprecated verbs come last.
func TestCompleteDescribes(t *testing.T) {
	t.Parallel()
	own := []string{"-o", "--output", "--timeout", "--show-secrets", "--check-hostname", "--insecure-skip-server-verification", "--quiet", "--verbose", "--debug", "--no-color"}
	for _, n := range Complete([]string{"-c", "add"}, "-").Names {
		if n.About == "" && !slices.Contains(own, n.Name) {
			t.Errorf("%s is about nothing", n.Name)
		}
	}
	verbs := verbNames()
	if last := verbs[len(verbs)-1]; !strings.HasPrefix(last.About, "DEPRECATED") || verbs[0].About != "" {
		t.Errorf("verbs %v", verbs)
	}
}

func FuzzComplete(f *testing.F) {
	f.Add("-c\nadd\n--mb=", "-")
	f.Add("-u\n", "")
	f.Fuzz(func(t *testing.T, lines, last string) {
		words := strings.Split(lines, "\n")
		Completes(words, last)
		if got := Complete(words, last); !strings.HasSuffix(last, got.Word) {
			t.Errorf("%q %q: %q", words, last, got.Word)
		}
	})
}
