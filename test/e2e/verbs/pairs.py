# SPDX-License-Identifier: Apache-2.0
"""Pairs of programs, a server's and a client's, on two hosts: see pairs_guest.py."""

import json
import os

from lab import GUEST_FOLDER, VerbsError, together


def case(name, server, client, port=None, seconds=30):
    """The server may say "@" for its own address too."""
    return {"name": name, "server": server, "client": client, "port": port, "seconds": seconds}


def why_failed(result):
    """None, or a line that says what did not work."""
    codes = {"client": result["code"], "server": result["server"]["code"]}
    if codes == {"client": 0, "server": 0}:
        return None
    return ", ".join(f"{side} ended with {code}" for side, code in codes.items() if code != 0)


def failure_lines(result):
    lines = [f"{result['name']}: {why_failed(result)}"]
    for side, output in (("client", result["output"]), ("server", result["server"]["output"])):
        lines += [f"  {side}: {line}" for line in output.strip().splitlines()[-6:]]
    return lines


def run_pairs(lab, cases, server=0, client=1):
    """A result for each case, in order; one that was not reached counts as failed."""
    address = lab.address(server)
    path = os.path.join(lab.folder, "cases.json")
    with open(path, "w", encoding="utf-8") as stream:
        json.dump([{**c, "server": c["server"].replace("@", address)} for c in cases], stream)
    for host in (server, client):
        lab.tblab("put", str(host), path, "/run/cases.json")
    script = f"python3 {GUEST_FOLDER}/pairs_guest.py /run/cases.json"
    limit = sum(c["seconds"] + 12 for c in cases)

    def ask():
        try:
            return lab.run(client, f"{script} {address}", limit)
        finally:
            # one that never met its client would wait for ever
            lab.run(server, "pkill -f pairs_guest[.]py || true")

    def serve():
        try:
            lab.run(server, script, limit)
        except VerbsError:
            pass   # told by the results that are missing

    output = together(serve, ask)[1]
    results = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    for wanted in cases[len(results):]:
        results.append({"name": wanted["name"], "seconds": 0, "code": "not run", "output": output,
                        "server": {"code": "not run", "output": ""}})
    return results
