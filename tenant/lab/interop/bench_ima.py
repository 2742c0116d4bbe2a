"""bench_ima.py DIR LINES SAMPLE: writes an IMA list of LINES entries and a policy
that accepts it into DIR, then has the real Keylime evaluate the first SAMPLE
entries, and prints the seconds that took."""

import hashlib
import json
import os
import struct
import sys
import time
import warnings

out = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # Keylime's loggers may write to stdout
warnings.simplefilter("ignore")

from keylime.agentstates import AgentAttestState  # noqa: E402
from keylime.common.algorithms import Hash  # noqa: E402
from keylime.ima import file_signatures, ima  # noqa: E402

folder, total, sample = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
digests, lines = {}, []
for n in range(total):
    path = f"/usr/lib/package-{n % 997}/file-{n}"
    digest = hashlib.sha256(path.encode()).digest()
    digests[path] = [digest.hex()]
    d = b"sha256:\0" + digest
    name = path.encode() + b"\0"
    data = struct.pack("<I", len(d)) + d + struct.pack("<I", len(name)) + name
    lines.append(f"10 {hashlib.sha1(data).hexdigest()} ima-ng sha256:{digest.hex()} {path}\n")
policy = {"meta": {"version": 1, "generator": 3}, "release": 0, "digests": digests, "excludes": ["/tmp/.*", r"/var/log/.*\.log"], "keyrings": {},
          "ima": {"ignored_keyrings": [], "log_hash_alg": "sha1", "dm_policy": None}, "ima-buf": {}, "verification-keys": ""}
with open(os.path.join(folder, "list.txt"), "w", encoding="utf8") as f:
    f.writelines(lines)
with open(os.path.join(folder, "policy.json"), "w", encoding="utf8") as f:
    json.dump(policy, f)
begun = time.monotonic()
state = AgentAttestState("agent")
ima.process_measurement_list(state, [line.rstrip("\n") for line in lines[:sample]], policy, pcrval=None,
                             ima_keyrings=file_signatures.ImaKeyrings(), boot_aggregates=None, hash_alg=Hash.SHA256)
print(f"{time.monotonic() - begun:.3f}", file=out)
