"""oracle_mb.py: asks the real Keylime 7.14.3 about measured boot.

Reads one JSON request a line and answers one JSON line to each:

  {"refstate": VALUE, "log_b64": BASE64}        a policy as JSON value, or
  {"refstate_text": TEXT, "log_b64": BASE64}    as the text of its file
      -> {"accepted": BOOL, "reason": TEXT}     the verdict of policy "example"
  {"create_b64": BASE64, "without_secureboot": BOOL}
      -> {"policy": VALUE or null}              keylime-policy create measured-boot
  {"parse_b64": BASE64}
      -> {"log": VALUE or null, "reason": TEXT} the log as the verifier has it

Whatever raises counts as refused, as it does in the verifier. When the parser
crashes the process or never ends, as libefivar can, the reason is "parser: the process crashed".
"""

import base64
import json
import os
import signal
import sys
import tempfile
import types

answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # Keylime's loggers may write to stdout

from keylime.mba.elchecking import example, policies  # noqa: E402,F401
from keylime.mba.elparsing.tpm2_tools_elparser import parse_binary_bootlog  # noqa: E402
from keylime.policy import create_mb_policy  # noqa: E402

parsed = {}
CRASHED = "the process crashed"


def parse(b64):
    """Returns (log, "") or (None, reason)."""
    if b64 not in parsed:
        parsed[b64] = json.loads(apart(parse_here, b64) or json.dumps([None, CRASHED]))
    log, reason = parsed[b64]
    return json.loads(json.dumps(log)), reason


def parse_here(b64):
    try:
        failure, log = parse_binary_bootlog(base64.b64decode(b64, validate=True))
        reason = "" if log else "; ".join(e.event_id + " " + str(e.context) for e in failure.events)
        return json.dumps([log or None, reason])
    except Exception as e:  # pylint: disable=broad-except
        return json.dumps([None, "exception: " + str(e)])


def apart(function, argument):
    """Calls function in a process of its own: libefivar crashes on some paths."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(20)  # some paths keep libefivar busy without end
        os.close(read)
        with os.fdopen(write, "w") as f:
            f.write(function(argument))
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as f:
        text = f.read()
    return text if os.waitpid(child, 0)[1] == 0 else ""


def evaluate(refstate, b64):
    log, reason = parse(b64)
    if log is None:
        return {"accepted": False, "reason": "parser: " + reason}
    if not refstate:
        return {"accepted": True, "reason": ""}
    try:
        reason = policies.get_policy("example").evaluate(refstate, log)
    except Exception as e:  # pylint: disable=broad-except
        reason = "policy evaluation failed: " + str(e)
    return {"accepted": not reason, "reason": reason}


def create(b64, without_secureboot):
    with tempfile.TemporaryDirectory() as folder:
        path, out = os.path.join(folder, "log"), os.path.join(folder, "out")
        with open(path, "wb") as f:
            f.write(base64.b64decode(b64))
        try:
            policy = create_mb_policy.create_mb_refstate(
                types.SimpleNamespace(eventlog_file=path, without_secureboot=without_secureboot, output=out)
            )
        except Exception:  # pylint: disable=broad-except
            policy = None
    return {"policy": policy}


for line in sys.stdin:
    request = json.loads(line)
    if "create_b64" in request:
        answer = create(request["create_b64"], request.get("without_secureboot", False))
    elif "parse_b64" in request:
        log, reason = parse(request["parse_b64"])
        answer = {"log": log, "reason": reason}
    elif "refstate_text" in request:
        try:
            answer = evaluate(json.loads(request["refstate_text"]), request["log_b64"])
        except ValueError as e:
            answer = {"accepted": False, "reason": "not JSON: " + str(e)}
    else:
        answer = evaluate(request["refstate"], request["log_b64"])
    answers.write(json.dumps(answer) + "\n")
    answers.flush()
