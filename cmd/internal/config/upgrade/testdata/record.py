"""record.py ADJUST: writes tolist.json, which holds what adjust.py of Keylime
7.14.3 (templates/2.0/adjust.py of its source package) makes of values of an option
that becomes a list. Run with Python 3.11."""

import configparser
import importlib.util
import json
import random
import sys

spec = importlib.util.spec_from_file_location("adjust", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)

VALUES = [
    "", "default", " default ", '"default"', "a", "a, b", "a,b,", "[a, b]", "[ a ]", "['a', 'b']", '["a","b"]', "5,10", "5,", "5", "(1, 2)", "()", "(1)", "((1),)",
    "'a', 'b'", "'a' 'b', 'c'", "'a", '"a", "b"', "{'a': 1}, {'b': None}", "{}, {1}, {1, 1.0, True}, {1: 'a', True: 'b'}", "set(), set( )", "set(1),", "frozenset(),",
    "True, False, None, ...", "true, false", "-1, +2, - 3", "--1,", "1+2j, 1-2j, -1+2j, 2j, -2j, 1.5+2.5j, 0j, -0j,", "1j+2,", "1+2,", "'a'+'b',", "True+1j,", "-True,",
    "1_000, 0x1F, 0o17, 0b11, 0X_f, 00, 0_0", "0777,", "1__0,", "1_,", "_1,", "0x,", "1a,", "1e5, 1E+3, 1.5e-7, .5, 5., 1e16, 123456789012345678, 1e22, 1e-5, 0.0001, -0.0, 1e400,",
    "99999999999999999999999999,", "r'\\d', R'\\n', b'a\\xff', br'\\d', Rb'\\'', u'x', U'y',", "f'x',", "b'\u00e9',", "b'a' 'b',", "b'a' b'b',", "b\"it's\", b'\\'\"', b'\\t\\n\\r\\0\\177\\377\\777',",
    "'\\x41\\u00e9\\U0001f600\\101\\0\\n\\t\\a\\b\\f\\r\\v\\\\\\'\\\"\\q',", "'\\x4',", "'\\u12',", "'\\U00110000',", "'\\\n',", "'''a\nb''',", '"""a"b""",', "'a\nb',", "'''a',",
    "\"it's\", 'say \"x\"', 'both \\' \"',", "'\u00fc\u20ac', '\u200b', '\x7f', '\U0001f600',", "'a' # c", "'a', # c", "# c", "'a',\n'b'", "('a',\n'b')", "('a', # x\n'b')", "\n'a',", "\n 'a',",
    "'a',\n\n", "'a',\n# c\n", "'a', \\\n'b'", "'a',\\", "[1, [2, (3,)], {4: {5}}],", "{[1]: 2},", "{(1, [2]): 3},", "{(1, (2,)): 3},", "{1: 2, 3},", "{1, 2: 3},", "{1:2,},", "{1,},", "{,},", "(,),", "[,],", ",", ",,", "1,,2",
    "(1, 2", "1, 2)", "[(1]),", "x=1", "not True,", "a.b, c", "'a' if True else 'b',", "lambda: 0,", "*a,", "(" * 200 + "1" + ")" * 200 + ",", "(" * 201 + "1" + ")" * 201 + ",", "[" * 199 + "]" * 199 + ",",
    "Ellipsis,", "None", "\t'a',\t", "\u00a0'a',", "a\u00a0b, c", "\x00,", "1;2", "'a',;", "1if 1else 2,", "0xfor 1,", "(1,2),[3]", " [ ] ", "[[a]]", "\"a\", 'b'", "'\\N{DASH}',",
]
random.seed(714)
TOKENS = ["(", ")", "[", "]", "{", "}", ",", ",", ",", ":", "'a'", '"b"', "1", "-", "+", "2j", "1.5", "True", "None", "set()", "x", " ", "  ", "\n", "#", "\\", "b'c'", "r'\\d'", "'''", "0x1f", "1_0", "...", "u'\u00e9'"]
VALUES += ["".join(random.choice(TOKENS) for _ in range(random.randint(1, 14))) for _ in range(1500)]

out = []
for value in VALUES:
    config = configparser.RawConfigParser()
    config["revocations"] = {"version": "2.0", "enabled_revocation_notifications": value}
    module.adjust(config, {"version": "2.0"})
    out.append([value, config["revocations"]["enabled_revocation_notifications"]])
with open("tolist.json", "w", encoding="utf-8") as f:
    f.write("[\n" + ",\n".join(json.dumps(pair) for pair in out) + "\n]\n")
