package pylog

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/keylime/keylime-tenant/cmd/internal/config"
)

// at is a moment for records: 2025-11-25 20:05:05.007 UTC.
func at() time.Time { return time.Unix(1764101105, 7_100_000).UTC() }

// shipped is logging.conf as Keylime 7.14.3 installs it.
const shipped = `[logging]
version = 2.6
[loggers]
keys = root,keylime
[handlers]
keys = consoleHandler
[formatters]
keys = formatter
[formatter_formatter]
format = %(asctime)s.%(msecs)03d - %(name)s - %(levelname)s - %(message)s
datefmt = %Y-%m-%d %H:%M:%S
[logger_root]
level = INFO
handlers = consoleHandler
[handler_consoleHandler]
class = StreamHandler
level = INFO
formatter = formatter
args = (sys.stdout,)
[logger_keylime]
level = INFO
qualname = keylime
handlers =
`

func parse(t testing.TB, text string) (Config, error) {
	t.Helper()
	f, err := config.ParseINI("logging.conf", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return Parse(f)
}

// say writes one record of each level as two loggers, and returns both streams.
func say(t testing.TB, c Config) (out, stderr string) {
	t.Helper()
	var o, e bytes.Buffer
	s, err := New(c, Options{Out: &o, Err: &e, Now: at})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"keylime.tenant", "urllib3.connectionpool"} {
		l := s.Logger(name)
		l.Debug("d")
		l.Info("i")
		l.Warning("w")
		l.Error("e")
		l.Critical("c")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	return o.String(), e.String()
}

const allFromInfo = `2025-11-25 20:05:05.007 - keylime.tenant - INFO - i
2025-11-25 20:05:05.007 - keylime.tenant - WARNING - w
2025-11-25 20:05:05.007 - keylime.tenant - ERROR - e
2025-11-25 20:05:05.007 - keylime.tenant - CRITICAL - c
2025-11-25 20:05:05.007 - urllib3.connectionpool - INFO - i
2025-11-25 20:05:05.007 - urllib3.connectionpool - WARNING - w
2025-11-25 20:05:05.007 - urllib3.connectionpool - ERROR - e
2025-11-25 20:05:05.007 - urllib3.connectionpool - CRITICAL - c
`

// TestShipped: the file that Keylime ships and the built-in default are one.
func TestShipped(t *testing.T) {
	t.Parallel()
	c, err := parse(t, shipped)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]Config{"file": c, "default": Default()} {
		if out, stderr := say(t, c); out != allFromInfo || stderr != "" {
			t.Errorf("%s: got\n%s%s", name, out, stderr)
		}
	}
}

// TestLevels: the logger's level and the handler's must both let a record pass.
func TestLevels(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		replace []string
		want    map[string]string // logger to the letters that come through
	}{
		{"all debug", []string{"level = INFO", "level = DEBUG"}, map[string]string{"keylime.tenant": "diwec", "urllib3.connectionpool": "diwec"}},
		{"keylime above info", []string{"[logger_keylime]\nlevel = INFO", "[logger_keylime]\nlevel = ERROR"}, map[string]string{"keylime.tenant": "ec", "urllib3.connectionpool": "iwec"}},
		{"root above info", []string{"[logger_root]\nlevel = INFO", "[logger_root]\nlevel = WARN"}, map[string]string{"keylime.tenant": "iwec", "urllib3.connectionpool": "wec"}},
		{"handler above info", []string{"StreamHandler\nlevel = INFO", "StreamHandler\nlevel = CRITICAL"}, map[string]string{"keylime.tenant": "c", "urllib3.connectionpool": "c"}},
		{"keylime not set", []string{"[logger_keylime]\nlevel = INFO", "[logger_keylime]\nlevel = NOTSET", "[logger_root]\nlevel = INFO", "[logger_root]\nlevel = FATAL"},
			map[string]string{"keylime.tenant": "c", "urllib3.connectionpool": "c"}},
		{"keylime alone", []string{"qualname = keylime", "qualname = keylime\npropagate = 0"}, map[string]string{"keylime.tenant": "", "urllib3.connectionpool": "iwec"}},
		{"keylime twice", []string{"qualname = keylime\nhandlers =", "qualname = keylime\nhandlers = consoleHandler"}, map[string]string{"keylime.tenant": "iiwweecc", "urllib3.connectionpool": "iwec"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c, err := parse(t, strings.NewReplacer(test.replace...).Replace(shipped))
			if err != nil {
				t.Fatal(err)
			}
			out, _ := say(t, c)
			got := map[string]string{"keylime.tenant": "", "urllib3.connectionpool": ""}
			for _, line := range strings.Split(strings.TrimSpace(out), "\n") {
				if parts := strings.Split(line, " - "); len(parts) == 4 {
					got[parts[1]] += parts[3]
				}
			}
			for name, want := range test.want {
				if got[name] != want {
					t.Errorf("%s: got %q, want %q", name, got[name], want)
				}
			}
			s, err := New(c, Options{Out: &bytes.Buffer{}, Err: &bytes.Buffer{}})
			if err != nil {
				t.Fatal(err)
			}
			if s.Logger("keylime.tenant").Enabled(Debug) != strings.Contains(test.want["keylime.tenant"], "d") {
				t.Error("Enabled does not say what Log does")
			}
		})
	}
}

// TestFormats: the expected texts are CPython's.
func TestFormats(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ format, date, want string }{
		{"%(message)s", isoDate, "hello\nworld"},
		{"100%% %(levelname)-8s|%(name)12s|%(levelno)03d|%(levelno)+5d|%(levelno)-5d", isoDate, "100% WARNING |keylime.tenant|030|  +30|30   "},
		{"%(msecs)s %(msecs)d %(msecs)6d", isoDate, "7.0 7      7"},
		{"%(name)s%(message)20s|", isoDate, "keylime.tenant         hello\nworld|"},
		{"%(message)s %(reqidf)s", isoDate, "hello\nworld "},
		{"%(asctime)s %(message)s", "", "2025-11-25 20:05:05,007 hello\nworld"},
		{"%(asctime)s", "%y%b%d %a %A %B %e %j %p %I %Z %z %T %D %F %R %r %c %u %w %C %G %V %k %l %s %% %n%t|%x %X %h",
			"25Nov25 Tue Tuesday November 25 329 PM 08 UTC +0000 20:05:05 11/25/25 2025-11-25 20:05 08:05:05 PM Tue Nov 25 20:05:05 2025 2 2 20 2025 48 20  8 1764101105 % \n\t|11/25/25 20:05:05 Nov"},
	} {
		f, err := parseFormat(test.format, test.date, test.date != "")
		if err != nil {
			t.Errorf("%s: %v", test.format, err)
			continue
		}
		if got := f.record(at(), "keylime.tenant", Warning, "hello\nworld"); got != test.want {
			t.Errorf("%s\ngot  %q\nwant %q", test.format, got, test.want)
		}
	}
	for _, bad := range [][2]string{{"%(nosuch)s", isoDate}, {"%(message)d", isoDate}, {"%(message)", isoDate}, {"%message", isoDate}, {"%", isoDate},
		{"%(msecs)f", isoDate}, {"%(name)9999s", isoDate}, {"%(asctime)s", "%Q"}, {"%(asctime)s", "%Y%"}} {
		if _, err := parseFormat(bad[0], bad[1], true); err == nil {
			t.Errorf("%q is understood", bad)
		}
	}
}

// TestNotUnderstood: each case spoils one place of the shipped file.
func TestNotUnderstood(t *testing.T) {
	t.Parallel()
	for name, replace := range map[string][2]string{
		"no loggers":        {"[loggers]\nkeys = root,keylime", "[nothing]"},
		"no handlers":       {"[handlers]\nkeys = consoleHandler", "[nothing]"},
		"no formatters":     {"[formatters]\nkeys = formatter", "[nothing]"},
		"no root":           {"root,keylime", "keylime"},
		"missing logger":    {"root,keylime", "root,keylime,other"},
		"no qualname":       {"qualname = keylime", ""},
		"level":             {"[logger_root]\nlevel = INFO", "[logger_root]\nlevel = Info"},
		"handler level":     {"StreamHandler\nlevel = INFO", "StreamHandler\nlevel = 20"},
		"unknown handler":   {"level = INFO\nhandlers = consoleHandler", "level = INFO\nhandlers = other"},
		"unknown formatter": {"formatter = formatter\nargs", "formatter = other\nargs"},
		"class":             {"class = StreamHandler", "class = handlers.SysLogHandler"},
		"args":              {"(sys.stdout,)", "(open('x'),)"},
		"file args":         {"class = StreamHandler\nlevel = INFO\nformatter = formatter\nargs = (sys.stdout,)", "class = FileHandler\nargs = (path,)"},
		"file mode":         {"class = StreamHandler\nlevel = INFO\nformatter = formatter\nargs = (sys.stdout,)", "class = FileHandler\nargs = ('p', 'x')"},
		"style":             {"datefmt =", "style = {\ndatefmt ="},
		"formatter class":   {"datefmt =", "class = json.Formatter\ndatefmt ="},
		"field":             {"%(name)s", "%(funcName)s"},
		"date":              {"%Y-%m", "%Y-%Q"},
		"propagate":         {"qualname = keylime", "qualname = keylime\npropagate = no"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := strings.Replace(shipped, replace[0], replace[1], 1)
			if text == shipped {
				t.Fatal("nothing was spoilt")
			}
			if c, err := parse(t, text); err == nil {
				t.Errorf("understood as %+v", c)
			}
		})
	}
}

func TestStderrAndFile(t *testing.T) {
	t.Parallel()
	c, err := parse(t, strings.Replace(shipped, "(sys.stdout,)", "(sys.stderr, )", 1))
	if err != nil {
		t.Fatal(err)
	}
	if out, stderr := say(t, c); out != "" || stderr != allFromInfo {
		t.Errorf("got %q and %q", out, stderr)
	}
	path := filepath.Join(t.TempDir(), "it's.log")
	both := strings.NewReplacer("keys = consoleHandler", "keys = consoleHandler, file", "level = INFO\nhandlers = consoleHandler", "level = INFO\nhandlers = consoleHandler,file").Replace(shipped) +
		"[handler_file]\nclass = logging.FileHandler\nargs = (\"" + path + "\", 'a')\n"
	c, err = parse(t, both)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if out, stderr := say(t, c); out != allFromInfo || stderr != "" {
			t.Errorf("got %q and %q", out, stderr)
		}
	}
	written, err := os.ReadFile(path)
	if want := strings.Repeat("i\nw\ne\nc\n", 4); err != nil || string(written) != want {
		t.Errorf("got %q, %v", written, err)
	}
	c, err = parse(t, strings.Replace(both, "'a'", "'w'", 1))
	if err != nil {
		t.Fatal(err)
	}
	say(t, c)
	if written, err := os.ReadFile(path); err != nil || len(written) != 16 {
		t.Errorf("mode w: got %q, %v", written, err)
	}
	c, err = parse(t, strings.Replace(both, path, path+"/impossible", 1))
	if err != nil {
		t.Fatal(err)
	}
	if out, stderr := say(t, c); out != allFromInfo || !strings.HasPrefix(stderr, "WARNING: logging.conf: ") || strings.Count(stderr, "\n") != 1 {
		t.Errorf("got %q and %q", out, stderr)
	}
}

// TestControls: what a server says cannot move the cursor.
func TestControls(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	s, err := New(Default(), Options{Out: &out, Err: &out, Now: at})
	if err != nil {
		t.Fatal(err)
	}
	s.Logger("").Info("a\x1b[2Jb\tc\nd\x7f\u009be é")
	if want := "2025-11-25 20:05:05.007 - root - INFO - a\\x1b[2Jb\tc\nd\\x7f\\x9be é\n"; out.String() != want {
		t.Errorf("got %q", out.String())
	}
	if _, err := New(Default(), Options{Out: &out}); err == nil {
		t.Error("a set without stderr")
	}
	Logger{}.Info("nothing happens")
}

func TestLoad(t *testing.T) {
	t.Parallel()
	load := func(files map[string]string, env ...string) Loaded {
		root := t.TempDir()
		for name, text := range files {
			path := filepath.Join(root, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		return Load(config.Options{Root: root, Env: env})
	}
	l := load(nil)
	if out, _ := say(t, l.Config); out != allFromInfo || len(l.Stderr) != 0 {
		t.Errorf("no file: %q", l.Stderr)
	}
	l = load(map[string]string{"etc/keylime/logging.conf": shipped, "etc/keylime/logging.conf.d/1": "[handler_consoleHandler]\nlevel = CRITICAL\n"})
	if out, _ := say(t, l.Config); strings.Count(out, "\n") != 2 || strings.Join(l.Stderr, "\n") !=
		"INFO:keylime.config:Reading configuration from ['/etc/keylime/logging.conf']\nINFO:keylime.config:Applied configuration snippets from /etc/keylime/logging.conf.d" {
		t.Errorf("got %q and %q", out, l.Stderr)
	}
	for name, text := range map[string]string{"not understood": "[loggers]\nkeys = root\n", "broken": "keys = root\n"} {
		l = load(map[string]string{"etc/keylime/logging.conf": text})
		if out, _ := say(t, l.Config); out != allFromInfo || !strings.HasPrefix(l.Stderr[len(l.Stderr)-1], "WARNING: /etc/keylime/logging.conf") {
			t.Errorf("%s: %q", name, l.Stderr)
		}
	}
	if l = load(nil, "KEYLIME_LOGGING_CONFIG=/nonexistent"); len(l.Stderr) != 1 || !strings.HasPrefix(l.Stderr[0], "WARNING:keylime.config:KEYLIME_LOGGING_CONFIG names /nonexistent") {
		t.Errorf("got %q", l.Stderr)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(shipped))
	f.Add([]byte(strings.Replace(shipped, "StreamHandler", "FileHandler", 1)))
	f.Fuzz(func(t *testing.T, data []byte) {
		ini, err := config.ParseINI("f", data)
		if err != nil {
			return
		}
		c, err := Parse(ini)
		if err != nil {
			return
		}
		for _, h := range c.handlers {
			h.format.record(at(), "keylime.tenant", Info, "m")
			if len(h.format.pieces) > len(data) {
				t.Error("more pieces than letters")
			}
		}
	})
}
