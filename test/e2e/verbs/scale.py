# SPDX-License-Identifier: Apache-2.0
"""Many queue pairs, processes and connections; and nothing left of them: see verbs_scale.cpp."""

import re

from lab import GUEST_FOLDER, VerbsError, attempt, kernel_row
from pairs import case, failure_lines, run_pairs, why_failed

HOSTS = 2
TOOL = f"{GUEST_FOLDER}/verbs_scale"
CONNECT = f"{TOOL} connect"
WARM_UP = 100
SETS = 400
LONG_SECONDS = 600
# What the kernel's own caches move by, in KiB, whatever runs; a leak of 64 bytes an object, eight
# objects a set, is 200 KiB after the short loop.
TOLERATED = {"SUnreclaim": 256, "VmallocUsed": 128, "Percpu": 64}


def figure(result):
    """The part of the client's last line that has the numbers."""
    lines = result["output"].strip().splitlines()
    return lines[-1].partition(": ")[2] if lines and "verbs_scale" in lines[-1] else ""


def connection_rate(result):
    """cmtime connects all twice, with QPs and without; its first column is microseconds each."""
    each = re.findall(r"^full connect\s+(\d+)\s", result["output"], re.MULTILINE)
    words = ("with QPs", "without")
    return ", ".join(f"{1e6 / max(int(us), 1):.0f} a second {word}"
                     for us, word in zip(each, words))


def pair_row(table, result, note):
    bad = why_failed(result)
    table.row(result["name"], ok=0 if bad else 1, fail=1 if bad else 0,
              note="" if bad else note, below=failure_lines(result) if bad else ())


def resources(lab):
    """What rdma counts, without the names of the processes."""
    return re.sub(r"^\d+: ", "", lab.run(0, "rdma resource show tbib0").strip())


def memory(lab):
    lab.run(0, "echo 3 >/proc/sys/vm/drop_caches; sleep 1; echo 2 >/proc/sys/vm/drop_caches")
    text = lab.run(0, "cat /proc/meminfo")
    return {key: int(re.search(rf"^{key}:\s+(\d+)", text, re.MULTILINE).group(1))
            for key in TOLERATED}


def churn(lab, options):
    """Objects made and destroyed in a loop leave nothing: the row's note."""
    lab.run(0, f"{TOOL} churn -n {WARM_UP}", 120)
    objects, before = resources(lab), memory(lab)
    how, limit = (f"-s {LONG_SECONDS}", LONG_SECONDS + 60) if options.long else (f"-n {SETS}", 240)
    said = lab.run(0, f"{TOOL} churn {how}", limit).strip()
    after, left = memory(lab), resources(lab)
    if left != objects:
        raise VerbsError(f"rdma resource show said '{objects}' before and says '{left}'")
    grown = {key: after[key] - before[key] for key in before}
    text = ", ".join(f"{key} {kib:+} KiB" for key, kib in grown.items())
    if any(grown[key] > limit for key, limit in TOLERATED.items()):
        raise VerbsError(f"kernel memory has grown: {text}")
    return f"{said.partition(': ')[2]}; {text}"


def runs(sample):
    qps = 200 if sample else 1000
    processes = 8 if sample else 64
    yield case(f"{qps} QPs, one process", f"{CONNECT} -q {qps}", f"{CONNECT} -q {qps} @", 18700,
               120)
    yield case(f"{processes} processes, 4 QPs each", f"{CONNECT} -q 4 -P {processes}",
               f"{CONNECT} -q 4 -P {processes} @", 18700 + processes - 1, 120)


def suite(lab, table, options):
    print("scale, host 1 to host 0")
    for result in run_pairs(lab, list(runs(options.sample))):
        pair_row(table, result, figure(result))
    if not options.sample:
        for result in run_pairs(lab, [case("cmtime, 200 connections", "cmtime -b @ -c 200",
                                           "cmtime -s @ -c 200", seconds=60)]):
            pair_row(table, result, connection_rate(result))
    attempt(table, "objects in a loop leave nothing", lambda: churn(lab, options))
    kernel_row(lab, table)
