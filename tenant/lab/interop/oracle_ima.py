"""oracle_ima.py: asks the real Keylime 7.14.3 about runtime policies.

Reads one JSON request a line and answers one JSON line to each:

  {"op": "lists", "steps": [{"text": LIST, "pcr": HEX}], "policy": TEXT, "bank": NAME,
   "keyring": TEXT, "boot_aggregates": {NAME: [HEX]}, "ignore_tomtou_errors": BOOL}
      -> {"steps": [{"events": [ID], "next": N}]}   one agent's lists, one after the other
  {"op": "schema", "policy": TEXT}         -> {"message": TEXT}, "" for a valid policy
  {"op": "regex", "pattern": TEXT, "subjects": [TEXT]}
      -> {"error": TEXT, "match": [BOOL], "fullmatch": [BOOL]}
  {"op": "convert", "allowlist": TEXT, "excludes": TEXT}   -> {"policy": VALUE}
  {"op": "create", "args": [TEXT]}         -> {"policy": VALUE or null}
  {"op": "keys", "files": [BASE64]}        -> {"keyring": TEXT, "kinds": [TEXT]}

An exception that Keylime does not catch is {"exception": TEXT}.
"""

import argparse
import base64
import json
import os
import re
import signal
import sys
import tempfile
import warnings

answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # Keylime's loggers may write to stdout
warnings.simplefilter("ignore")

from keylime.agentstates import AgentAttestState  # noqa: E402
from keylime.cmd import convert_runtime_policy  # noqa: E402
from keylime.common.algorithms import Hash  # noqa: E402
from keylime.ima import ast, file_signatures, ima  # noqa: E402
from keylime.policy import create_runtime_policy  # noqa: E402


def lists(r):
    ast.config.getboolean = lambda *_, **__: r.get("ignore_tomtou_errors", False)
    state = AgentAttestState("agent")
    steps = []
    for step in r["steps"]:
        policy = json.loads(r["policy"])
        keyring = r.get("keyring") or policy["verification-keys"]
        keyrings = state.get_ima_keyrings()
        keyrings.set_tenant_keyring(file_signatures.ImaKeyring.from_string(keyring))
        _, failure = ima.process_measurement_list(
            state, step["text"].split("\n"), policy, pcrval=step["pcr"], ima_keyrings=keyrings,
            boot_aggregates=r.get("boot_aggregates"), hash_alg=Hash(r["bank"]))
        steps.append({"events": [e.event_id for e in failure.events], "next": state.get_next_ima_ml_entry()})
    return {"steps": steps}


def schema(r):
    try:
        ima.validate_runtime_policy(json.loads(r["policy"]))
    except ima.ImaValidationError as e:
        return {"message": e.message}
    return {"message": ""}


class Slow(Exception):
    pass


def slow(*_):
    raise Slow()


def regex(r):
    try:
        compiled = re.compile(r["pattern"])
    except (re.error, ValueError, OverflowError) as e:
        return {"error": str(e), "match": [], "fullmatch": []}
    signal.signal(signal.SIGALRM, slow)
    signal.setitimer(signal.ITIMER_REAL, 1)
    try:
        return {"error": "", "match": [bool(compiled.match(s)) for s in r["subjects"]],
                "fullmatch": [bool(compiled.fullmatch(s)) for s in r["subjects"]]}
    except Slow:
        return {"error": "slow", "match": [], "fullmatch": []}
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def convert(r):
    with tempfile.TemporaryDirectory() as d:
        for name in ("allowlist", "excludes"):
            with open(os.path.join(d, name), "w", encoding="utf8") as f:
                f.write(r[name])
        policy = convert_runtime_policy.convert_legacy_allowlist(os.path.join(d, "allowlist"))
        return {"policy": convert_runtime_policy.update_runtime_policy(policy, os.path.join(d, "excludes"))}


def create(r):
    parent = argparse.ArgumentParser(add_help=False)
    parser = argparse.ArgumentParser()
    create_runtime_policy.get_arg_parser(parser.add_subparsers(), parent)
    # The options' default lists are shared, and appended to.
    del create_runtime_policy.IGNORED_KEYRINGS[:]
    args = parser.parse_args(["runtime", "-o", os.devnull] + (r["args"] or []))
    return {"policy": create_runtime_policy.create_runtime_policy(args)}


def keys(r):
    ring, kinds = file_signatures.ImaKeyring(), []
    for b64 in r["files"]:
        try:
            key, keyid = file_signatures.get_pubkey(base64.b64decode(b64))
        except ValueError:
            kinds.append("unsupported")
            continue
        kinds.append("key" if key else "none")
        if key:
            ring.add_pubkey(key, keyid)
    return {"keyring": ring.to_string(), "kinds": kinds}


operations = {"lists": lists, "schema": schema, "regex": regex, "convert": convert, "create": create, "keys": keys}
for line in sys.stdin:
    request = json.loads(line)
    try:
        answer = operations[request["op"]](request)
    except Exception as e:  # pylint: disable=broad-except
        answer = {"exception": type(e).__name__ + ": " + str(e)}
    answers.write(json.dumps(answer) + "\n")
answers.flush()
