"""oracle_dsse.py: asks the real Keylime 7.14.3 about signed policies.

Reads one JSON request a line and answers one JSON line to each:

  {"op": "sign", "payload_b64": BASE64, "backend": "ecdsa" or "x509"}
      -> {"envelope": TEXT, "public_pem": TEXT, "private_pem": TEXT, "cert_pem": TEXT}
  {"op": "verify", "envelope": TEXT, "public_pem": TEXT}
      -> {"payload_b64": BASE64}       or {"refused": TEXT}
  {"op": "verify", "envelope": TEXT}   the same with the certificates in the envelope
  {"op": "load", "private_pem": TEXT}  -> {"public_pem": TEXT}
"""

import base64
import json
import os
import sys
import tempfile

answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # Keylime's loggers may write to stdout

from cryptography.hazmat.primitives import serialization  # noqa: E402

from keylime import signing  # noqa: E402
from keylime.dsse import dsse, ecdsa, x509  # noqa: E402
from keylime.policy.sign_runtime_policy import KEYLIME_PAYLOAD_TYPE  # noqa: E402


def public(key):
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


def read(path):
    if not os.path.exists(path):
        return ""
    with open(path, encoding="utf8") as f:
        return f.read()


def sign(r):
    with tempfile.TemporaryDirectory() as d:
        key, cert = os.path.join(d, "key"), os.path.join(d, "cert")
        if r["backend"] == "x509":
            signer = x509.Signer.create(key, certificate_path=cert)
            pub = signer.certificate.public_key()
        else:
            signer = ecdsa.Signer.create(key)
            pub = signer.public_key
        envelope = dsse.Sign(payloadType=KEYLIME_PAYLOAD_TYPE, payload=base64.b64decode(r["payload_b64"]), signer=signer)
        return {"envelope": envelope, "public_pem": public(pub), "private_pem": read(key), "cert_pem": read(cert)}


def verify(r):
    key = r.get("public_pem")
    try:
        result = signing.verify_dsse_envelope(r["envelope"].encode(), key.encode() if key else None)
    except Exception as e:  # pylint: disable=broad-except
        return {"refused": type(e).__name__ + ": " + str(e)}
    if result is None:
        return {"refused": "no valid signature"}
    return {"payload_b64": base64.b64encode(result.payload).decode()}


def load(r):
    key = serialization.load_pem_private_key(r["private_pem"].encode(), None)
    return {"public_pem": public(key.public_key())}


operations = {"sign": sign, "verify": verify, "load": load}
for line in sys.stdin:
    request = json.loads(line)
    answers.write(json.dumps(operations[request["op"]](request)) + "\n")
answers.flush()
