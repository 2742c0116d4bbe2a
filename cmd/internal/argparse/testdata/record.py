"""Records what CPython's argparse and textwrap do, for argparse_test.go.

Run with CPython 3.11: COLUMNS=80 python3 record.py > recorded.json
"""
import argparse, contextlib, io, json, random, textwrap

random.seed(20261125)
parser = argparse.ArgumentParser(
    prog="create_thing",
    description="Make a thing -- or well-formed ones--from the log.",
    epilog="See also --nothing.",
)
parser.add_argument("eventlog_file", help="the log")
parser.add_argument("extra", nargs="?")
parser.add_argument("rest", nargs="*", metavar="R")
parser.add_argument("-i", "--without-secureboot", "--insecure", dest="ins", action="store_true",
                    help="a flag with a very-long-hyphenated-word-that-goes-on-and-on-and-on-and-on-and-on-and-on-for-ever")
parser.add_argument("-a", "--algo", dest="algo", choices=["sha1", "sha'2"], help="choose")
parser.add_argument("-m", nargs="?", const="C", help="maybe")
parser.add_argument("-l", "--list", dest="l", nargs="+")
parser.add_argument("-k", nargs="*", help="k")
parser.add_argument("--req", required=True, metavar="QQ")
parser.add_argument("-xy", action="store_true")
parser.add_argument("-b", action="store_true")
parser.add_argument("--append", action="append")


def outcome(argv):
    err = io.StringIO()
    try:
        with contextlib.redirect_stderr(err), contextlib.redirect_stdout(io.StringIO()):
            values = vars(parser.parse_args(argv))
    except SystemExit as e:
        return "help" if e.code == 0 else err.getvalue()
    return {k: [""] if v is True else v if isinstance(v, list) else [v]
            for k, v in values.items() if v not in (None, False, [])}


words = ["-i", "--ins", "--w", "--without-secureboot=1", "-a", "sha1", "sha'2", "-asha1", "-a=x", "md5", "-m", "-mfoo", "-l", "--l",
         "-k", "--req", "x", "--req=", "--r=1", "--re", "y", "-xy", "-x", "-xyz", "-b", "-bi", "-ib", "-ibz", "-bm", "-bmq", "-bh", "-h",
         "--", "-", "-5", "-5.5", "-.5", "-5x", "a b", "-a b", "--no such", "--nope", "@f", "", "é", "-é", "-bé", "--i=", "-i=", "-b=",
         "--append", "--app=1"]
calls = {}
while len(calls) < 400:
    argv = [random.choice(words) for _ in range(random.randint(0, 7))]
    if random.random() < 0.7:
        argv = ["log", "--req", "1"] + argv
    calls[json.dumps(argv)] = {"argv": argv, "want": outcome(argv)}

pieces = ["a", "foo", "foo-bar", "--", "--opt", "b--c", "x-y-z", "state-of-the-art", "1-2", "ab-1", "one!--two", "-", "---x", "é-éé-é",
          "verylongwordwithouthyphen", "very-long-word-with-hyphens-x", "'a'", "_a-_b", "a-b", "end."]
wraps = []
for _ in range(150):
    text = " ".join(random.choice(pieces) + random.choice(["", "", "-", random.choice(pieces)]) for _ in range(random.randint(0, 12)))
    width = random.choice([11, 12, 15, 20, 30])
    wraps.append({"text": text, "width": width, "want": textwrap.wrap(text, width)})

print(json.dumps({"help": parser.format_help(), "calls": list(calls.values()), "wraps": wraps}, ensure_ascii=False, indent=0))
