# SPDX-License-Identifier: Apache-2.0
"""
What administrators' tools show of tbib0 and do to it, inside a guest:

    surface_guest.py serve [plain]      the other end, which runs until it is killed; plain: it has
                                        no devices on top of tbib0, which not every kernel knows
    surface_guest.py GROUP... PEER      the checks of these groups; PEER is the other end's address

Prints one JSON object a check: its name, whether it passed, a note, what went wrong.
"""

import json
import subprocess
import sys

import surface_counters
import surface_ethtool
import surface_netns
import surface_port
import surface_resource
from surface_common import (DEVICE, PINGPONG_PORT, UPPERS, Wrong, add_upper, gid_index, own_address)


def serve(uppers):
    servers = {PINGPONG_PORT: own_address()}
    for upper in uppers:
        add_upper(upper, upper.theirs)
        servers[upper.port] = upper.theirs
    commands = [f"while :; do ibv_rc_pingpong -d {DEVICE} -g {gid_index(address)} -p {port} "
                "-n 100; done" for port, address in servers.items()]
    running = [subprocess.Popen(["sh", "-c", command], stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
               for command in (*commands, "rping -s -P")]
    print("ready", flush=True)
    running[-1].wait()


GROUPS = {"port": surface_port.CHECKS, "ethtool": surface_ethtool.CHECKS,
          "resource": surface_resource.CHECKS, "statistic": surface_counters.CHECKS,
          "uppers": surface_netns.UPPER_CHECKS, "netns": surface_netns.CHECKS}


def check(name, function, peer):
    row = {"name": name, "ok": True, "note": "", "below": []}
    try:
        row["note"] = function(peer) or ""
    except (Wrong, OSError, LookupError, ValueError, AttributeError,
            subprocess.TimeoutExpired) as error:
        row["ok"] = False
        row["below"] = (str(error).splitlines() if isinstance(error, Wrong)
                        else [f"{type(error).__name__}: {error}"])
    print(json.dumps(row), flush=True)


def main():
    if sys.argv[1] == "serve":
        serve(() if sys.argv[2:] == ["plain"] else UPPERS)
        return
    *groups, peer = sys.argv[1:]
    for group in groups:
        for name, function in GROUPS[group]:
            check(name, function, peer)


if __name__ == "__main__":
    main()