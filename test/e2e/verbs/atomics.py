# SPDX-License-Identifier: Apache-2.0
"""One word that queue pairs of two hosts and threads change at once: see verbs_scale_atomics.cpp."""

import re

from lab import GUEST_FOLDER, kernel_row
from pairs import case, failure_lines, run_pairs, why_failed

HOSTS = 2
CPUS = 2    # nothing is at once on one
TOOL = f"{GUEST_FOLDER}/verbs_scale atomics"
PORT = 18900
QPS = 8


def figure(result):
    """What the server counted, of each operation; and how often its own CMP_SWP came at the right moment."""
    said = re.findall(r": (?:\d+ QPs, (.*)|(.* CMP_SWP .*))$", result["server"]["output"], re.MULTILINE)
    said = [one or other for one, other in said]
    return ", ".join(said)


def suite(lab, table, _options):
    print("atomics, hosts 0 and 1 to host 0")
    hammer = case(f"{QPS} QPs of each host and threads", f"{TOOL} -q {QPS}", f"{TOOL} -q {QPS} @", PORT, 150)
    for result in run_pairs(lab, [hammer]):
        bad = why_failed(result)
        table.row(result["name"], ok=0 if bad else 1, fail=1 if bad else 0,
                  note="" if bad else figure(result), below=failure_lines(result) if bad else ())
    kernel_row(lab, table)
