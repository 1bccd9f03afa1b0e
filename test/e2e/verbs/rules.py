# SPDX-License-Identifier: Apache-2.0
"""What the specification promises of a connection, asked of two hosts: see verbs_rules.hpp."""

from lab import GUEST_FOLDER, VerbsError, kernel_row
from pairs import case, failure_lines, run_pairs, why_failed

HOSTS = 2
CPUS = 2    # nothing is at once on one
PORT = 18519
TOOL = f"{GUEST_FOLDER}/verbs_rules"


def scenes(lab):
    """As the program lists them."""
    names = lab.run(1, f"{TOOL} 2>&1 || true").partition("scenes:\n")[2].split()
    if not names:
        raise VerbsError("verbs_rules names no scene")
    return names


def suite(lab, table, _options):
    print("rules of connections, host 1 to host 0")
    cases = [case(name, f"{TOOL} {name}", f"{TOOL} {name} @", PORT, 60) for name in scenes(lab)]
    for result in run_pairs(lab, cases):
        bad = why_failed(result)
        table.row(result["name"], ok=0 if bad else 1, fail=1 if bad else 0,
                  below=failure_lines(result) if bad else ())
    kernel_row(lab, table)
