# SPDX-License-Identifier: Apache-2.0
"""Every program of perftest, between two hosts. It measures; that bytes are right, others say."""

import itertools
import math
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
# that -a runs: powers of two from 2 bytes on, to 8 MiB or to the path MTU
SIZES = [2 << n for n in range(23)]
LARGEST_DATAGRAM = 4096
# rdma_cm knows no UC
MANAGED = ("RC", "UD")
QPS = (1, 2, 16)
# sent from the work request itself, which perftest can for these; the most that the device gives
INLINE = ("write", "send")
MOST_INLINE = 512
# receives from a shared queue, which perftest has for these only
SHARED = ("send",)
# perftest measures the clock for each size by reading two clocks 200 times, one after the other. A
# host that loses its processor in between spoils that: it says so, and divides by zero.
NO_CLOCK = "Correlation coefficient"
# With -R the client connects once more as soon as both sides have shaken hands, and the server
# listens once more: one that comes before is rejected for want of a listener, and perftest crashes
# then. So each of the client's first commands to rdma_cm waits, which is half a second in all.
SLOWLY = ("strace -f --seccomp-bpf -qq -o /dev/null -P /dev/infiniband/rdma_cm -e trace=write "
          "-e inject=write:delay_enter=50000:when=1..30")


def command(program, options):
    return f"ib_{program} -F -d tbib0 -p {PORT} {options}"


def client_of(server):
    """What is to run on the other host for a server's command; warnings come between its lines, not within."""
    slowly = f"{SLOWLY} " if "-R" in server.split() else ""
    return f"stdbuf -oL {slowly}{server} @"


def run(name, program, options):
    server = command(program, options)
    # perftest measures the clock anew for each of 23 sizes; 16 QPs with a shared queue move 5 GB
    seconds = 400 if " -a " in options else 40
    return case(name, server, client_of(server), PORT, seconds)


def sizes(verb):
    """Atomics have one size, all others are run from 2 bytes to 8 MiB (UD: to the MTU)."""
    return "" if verb == "atomic" else "-a "


def large(verb, transport):
    """One size, a large one."""
    return "" if verb == "atomic" else "-s 4096 " if transport == "UD" else "-s 65536 "


def ways(verb, transport):
    """Both ways at once, by events, by rdma_cm."""
    yield "-b"
    if verb not in NO_EVENTS:
        yield "-e"
    if transport in MANAGED:
        yield "-R"


def inline(size):
    return f"-s {size} --inline_size {size}"


def bandwidth(verb, transport, quick):
    """Each option with 1, 2 and 16 QPs and all sizes; quick: the options of several QPs with a large one."""
    base = f"-c {transport} --report_gbits"
    every = f"{base} {sizes(verb)}-n 5"
    some = f"{base} {large(verb, transport)}"
    # perftest wants more receives in a shared queue than QPs for RC, and gives it no more than
    # messages; for the others 100 (and with each size 100 more, for which there is no room), and
    # what finds none is lost
    roomy = transport == "RC"
    for qps in QPS:
        several = quick and qps > 1
        yield f"-q {qps}", f"{every} -q {qps}"
        for way in ways(verb, transport):
            yield f"-q {qps} {way}", f"{some + '-n 20' if several else every} -q {qps} {way}"
        if verb in SHARED:
            shared = (f"{some}-n 5" if not roomy else f"{some}-n 20" if several else
                      f"{base} {sizes(verb)}-n {qps + 4}")
            for way in ("", *ways(verb, transport)):
                yield f"SRQ -q {qps} {way}".strip(), f"{shared} --use-srq -q {qps} {way}".strip()
        if verb in INLINE:
            most = (f"{base} {inline(MOST_INLINE)} -n 50" if several else
                    f"{every} --inline_size {MOST_INLINE}")
            yield f"inline -q {qps}", f"{most} -q {qps}"
        if verb == "atomic":
            yield f"CMP_AND_SWAP -q {qps}", f"{base} -n 20 -q {qps} -A CMP_AND_SWAP"


def latency(verb, transport, _quick):
    """All sizes; one QP, which is all that these programs have."""
    base = f"-c {transport} -n 50"
    every = base if verb == "atomic" else f"-c {transport} -a -n 5"
    yield "all sizes", every
    if verb not in NO_EVENTS:
        yield "-e", f"{every} -e"
    if transport in MANAGED:
        yield "-R", f"{every} -R"
    if verb in INLINE:
        for size in (64, 256, MOST_INLINE):
            yield f"inline {size}", f"{base} {inline(size)}"
        yield "not inline", f"{base} -s 64 --inline_size 0"
    if verb == "atomic":
        yield "CMP_AND_SWAP", f"{base} -A CMP_AND_SWAP"
    if verb in SHARED:
        # over UD by rdma_cm its server does not connect (ENOSPC), on rxe neither
        for option in ("", "-e", *(["-R"] if transport == "RC" else [])):
            some = every if transport == "RC" else f"{base} -s 4096"
            yield f"SRQ {option}".strip(), f"{some} --use-srq {option}".strip()


def groups(quick):
    for verb, transports in PROGRAMS:
        for transport in transports:
            for kind, cells in (("bw", bandwidth), ("lat", latency)):
                program = f"{verb}_{kind}"
                yield (f"{program} {transport}",
                       [run(name, program, options) for name, options in cells(verb, transport, quick)])


def sample():
    """One cell of every program."""
    for verb, transports in PROGRAMS:
        for kind in ("bw", "lat"):
            program = f"{verb}_{kind}"
            size = "" if verb == "atomic" else "-s 8192 "
            unit = "--report_gbits" if kind == "bw" else ""
            yield program, [run("short", program, f"-c {transports[0]} {size}-n 50 {unit}")]


def figures(output):
    """
    The numbers of the result lines; a deviation that perftest rounds below zero is its nan, and all
    figures are inf if it could not measure the clock's frequency for them.
    """
    return [[float(field) for field in line.split()] for line in output.splitlines()
            if re.match(r"^\s*\d+\s+\d+(\s+-?([\d.]+|nan|inf)){2,}\s*$", line)]


def note(program, results):
    """What the group measured, as one figure: the best of a bandwidth, the least typical time."""
    rows = [row for result in results for row in figures(result["output"])
            if math.inf not in row]
    if not rows:
        return ""
    if program.split()[0].endswith("_bw"):
        return f"best {max(row[3] for row in rows):.3f} Gb/s"
    return f"{min(row[4] for row in rows):.0f} µs"


def complaint(result):
    """What is wrong with a result whose programs both ended well, or None."""
    lines = figures(result["output"])
    done = [line[0] for line in lines]
    if not done:
        return "printed no result"
    if math.inf in itertools.chain(*lines) and NO_CLOCK not in result["output"]:
        return "printed an infinite figure"
    datagrams = " -c UD " in result["client"]
    sizes = [size for size in SIZES if not datagrams or size <= LARGEST_DATAGRAM]
    if " -a " in result["client"] and done != sizes:
        said = [line.split() for line in result["output"].splitlines() if re.match(r"^\s*\d+\s", line)]
        missing = [" ".join(line) for line in said if int(line[0]) not in done]
        return f"printed {len(done)} of {len(sizes)} sizes, and {missing}"
    return None


def suite(lab, table, options):
    print("perftest, host 1 to host 0")
    for program, cases in sample() if options.sample else groups(options.quick):
        results = run_pairs(lab, cases)
        for result, one in zip(results, cases):
            wrong = None if why_failed(result) else complaint({**result, "client": one["client"]})
            if wrong:
                result["code"] = f"0 and {wrong}"
        bad = [result for result in results if why_failed(result)]
        table.row(program, ok=len(results) - len(bad), fail=len(bad),
                  note=note(program, results),
                  below=[line for result in bad for line in failure_lines(result)])
    kernel_row(lab, table)
