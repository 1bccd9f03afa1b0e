# SPDX-License-Identifier: Apache-2.0
"""Every program of perftest, between two hosts. It measures; that bytes are right, others say."""

import re

from lab import kernel_row
from pairs import case, failure_lines, run_pairs, why_failed

HOSTS = 2
PORT = 18515
# program, transports it is defined for
PROGRAMS = (("write", ("RC", "UC")), ("read", ("RC",)), ("send", ("RC", "UC", "UD")),
            ("atomic", ("RC",)))
# perftest's own limit: a WRITE leaves no completion to wait for at its target
NO_EVENTS = ("write",)
# rdma_cm knows no UC
MANAGED = ("RC", "UD")


def command(program, options):
    return f"ib_{program} -F -d tbib0 -p {PORT} {options}"


def run(name, program, options, seconds=40):
    line = command(program, options)
    # with rdma_cm the listener is in no list of sockets
    port = None if " -R" in f" {options}" else PORT
    return case(name, line, f"{line} @", port, seconds)


def sizes(verb):
    """Atomics have one size, all others are run from 2 bytes to 8 MiB (UD: to the MTU)."""
    return "" if verb == "atomic" else "-a "


def bandwidth(verb, transport):
    """All sizes with 1 QP, then 2 and 16, both ways at once, by events, by rdma_cm."""
    count = "-n 100" if verb == "atomic" else "-n 10"
    base = f"-c {transport} --report_gbits"
    large = "" if verb == "atomic" else ("-s 4096 " if transport == "UD" else "-s 65536 ")
    yield "1 QP", f"{base} {sizes(verb)}{count}"
    for qps in (2, 16):
        yield f"{qps} QPs", f"{base} {large}-n 50 -q {qps}"
    yield "-b", f"{base} {large}-n 100 -b"
    yield "-b -q 2", f"{base} {large}-n 50 -b -q 2"
    if verb not in NO_EVENTS:
        yield "-e", f"{base} {large}-n 100 -e"
    if transport in MANAGED:
        yield "-R", f"{base} {large}-n 100 -R"
    if verb in ("write", "send"):
        yield "inline", f"{base} -s 128 -n 500 --inline_size 128"
    if verb == "atomic":
        yield "CMP_AND_SWAP", f"{base} {count} -A CMP_AND_SWAP"
    if (verb, transport) == ("send", "RC"):
        yield "SRQ", f"{base} -s 8192 -n 100 -q 4 --use-srq"


def latency(verb, transport):
    base = f"-c {transport} -n 50"
    yield "all sizes", base if verb == "atomic" else f"-c {transport} -a -n 10"
    if verb not in NO_EVENTS:
        yield "-e", f"{base} -e"
    if transport in MANAGED:
        yield "-R", f"{base} -R"
    if verb in ("write", "send"):
        yield "inline", f"{base} -s 64 --inline_size 64"
        yield "not inline", f"{base} -s 64 --inline_size 0"


def groups():
    for verb, transports in PROGRAMS:
        for transport in transports:
            for kind, cells in (("bw", bandwidth), ("lat", latency)):
                program = f"{verb}_{kind}"
                yield (f"{program} {transport}",
                       [run(name, program, options) for name, options in cells(verb, transport)])


def sample():
    """One cell of every program."""
    for verb, transports in PROGRAMS:
        for kind in ("bw", "lat"):
            program = f"{verb}_{kind}"
            size = "" if verb == "atomic" else "-s 8192 "
            unit = "--report_gbits" if kind == "bw" else ""
            yield program, [run("short", program, f"-c {transports[0]} {size}-n 50 {unit}")]


def figures(output):
    """The numbers of the result lines."""
    return [[float(field) for field in line.split()] for line in output.splitlines()
            if re.match(r"^\s*\d+\s+\d+(\s+-?[\d.]+){2,}\s*$", line)]


def note(program, results):
    """What the group measured, as one figure: the best of a bandwidth, the least typical time."""
    rows = [row for result in results for row in figures(result["output"])]
    if not rows:
        return ""
    if program.split()[0].endswith("_bw"):
        return f"best {max(row[3] for row in rows):.3f} Gb/s"
    return f"{min(row[4] for row in rows):.0f} µs"


def suite(lab, table, options):
    print("perftest, host 1 to host 0")
    for program, cases in sample() if options.sample else groups():
        results = run_pairs(lab, cases)
        for result in results:
            if not why_failed(result) and not figures(result["output"]):
                result["code"] = "0 and printed no result"
        bad = [result for result in results if why_failed(result)]
        table.row(program, ok=len(results) - len(bad), fail=len(bad),
                  note=note(program, results),
                  below=[line for result in bad for line in failure_lines(result)])
    kernel_row(lab, table)
