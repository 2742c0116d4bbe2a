"""oracle_upgrade.py: asks the real Keylime 7.14.3 about upgrades of configurations.

Reads one JSON request a line and answers one JSON line to each:

  {"args": [TEXT], "cwd": DIR}   keylime_upgrade_config with these arguments
      -> {"code": NUMBER, "error": TEXT, "config": {SECTION: {OPTION: TEXT}} or null}
         its exit code, and the configuration as it is handed to the templates
  {"read": [PATH]}               what Python reads in files
      -> {"ini": [{SECTION: {OPTION: TEXT}} or null], "toml": [VALUE or null]}
         by RawConfigParser and by tomllib, null where that fails
"""

import configparser
import json
import logging
import math
import os
import sys
import tomllib

answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)

from keylime.cmd import convert_config  # noqa: E402

logging.disable(logging.CRITICAL)
kept = {}
write = convert_config.output


def output(components, config, templates, outdir, logger=None):
    kept["config"] = {s: dict(config[s]) for s in config}
    write(components, config, templates, outdir, logger=logging.getLogger("keylime"))


convert_config.output = output


def upgrade(request):
    kept.clear()
    os.chdir(request["cwd"])
    sys.argv = ["keylime_upgrade_config"] + request["args"]
    code, error = 0, ""
    try:
        convert_config.main()
    except SystemExit as e:
        code = e.code or 0
    except BaseException as e:  # the interpreter ends with 1 then
        code, error = 1, repr(e)
    return {"code": code, "error": error, "config": kept.get("config")}


def plain(value):
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    return value if isinstance(value, (str, int, float, bool)) else str(value)


def ini(path):
    parser = configparser.RawConfigParser()
    try:
        with open(path, encoding="utf-8") as f:
            parser.read_file(f)
    except (OSError, UnicodeDecodeError, configparser.Error):
        return None
    return {s: dict(parser[s]) for s in parser.sections()}


def toml(path):
    try:
        with open(path, "rb") as f:
            return plain(tomllib.load(f))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return None


for line in sys.stdin:
    asked = json.loads(line)
    if "read" in asked:
        answer = {"ini": [ini(p) for p in asked["read"]], "toml": [toml(p) for p in asked["read"]]}
    else:
        answer = upgrade(asked)
    print(json.dumps(answer), file=answers, flush=True)
