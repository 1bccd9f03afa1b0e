# SPDX-License-Identifier: Apache-2.0
"""What administrators' tools show of tbib0 and do to it: see surface_guest.py."""

import contextlib
import json

from lab import GUEST_FOLDER, VerbsError, attempt, kernel_row

HOSTS = 2
SCRIPT = f"python3 -B {GUEST_FOLDER}/surface_guest.py"
GROUPS = ("port", "ethtool", "resource", "statistic", "uppers", "netns")
SAMPLE = ("port", "ethtool", "resource", "statistic")
LOG = "/run/surface"
# its uppers too: another suite may come to the same hosts
DISMISS = (f"kill -- -$(cat {LOG}.pid); "
           "for upper in vlan5 ipv0; do ip link delete $upper 2>/dev/null; done; true")


@contextlib.contextmanager
def other_end(lab, plain=False):
    """Its address."""
    words = "serve plain" if plain else "serve"
    lab.run(0, f"setsid {SCRIPT} {words} >{LOG} 2>&1 </dev/null & echo $! >{LOG}.pid")
    try:
        lab.until(0, "the other end", f"grep -q ready {LOG}", 30)
        yield lab.address(0)
    finally:
        lab.run(0, f"({DISMISS}) || cat {LOG}")


def rows(lab, peer, groups, slow=1):
    """What the guest's script says of each check; slow: so many times slower than others it is."""
    output = lab.run(1, f"SLOW={slow} {SCRIPT} {' '.join(groups)} {peer}", 240)
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]


def cable_out(lab):
    """State, carrier and link_downed follow the cable."""
    def figures():
        return lab.run(1, "cd /sys/class/infiniband/tbib0/ports/1 && cat state phys_state "
                       "hw_counters/link_downed counters/link_downed; "
                       "cat /sys/class/net/tbib0/carrier").split("\n")[:5]

    before = figures()
    lab.tblab("unplug", "0")
    lab.until(1, "the port to go down", "grep -q DOWN /sys/class/infiniband/tbib0/ports/1/state",
              20)
    out = figures()
    lab.tblab("plug", "0")
    lab.until_active()
    after = figures()
    downed = [str(int(before[i]) + 1) for i in (2, 3)]
    wanted = (["1: DOWN", "2: Polling", *downed, "0"], ["4: ACTIVE", "5: LinkUp", *downed, "1"])
    if (out, after) != wanted:
        raise VerbsError(f"with the cable out: {out}, back: {after}; before: {before}")


def suite(lab, table, options):
    print("what administrators' tools show and do, on host 1")
    with other_end(lab) as peer:
        for row in rows(lab, peer, SAMPLE if options.sample else GROUPS):
            table.row(row["name"], ok=int(row["ok"]), fail=int(not row["ok"]), note=row["note"],
                      below=row["below"])
    if not options.sample:
        attempt(table, "cable out and in", lambda: cable_out(lab))
    kernel_row(lab, table)
