# SPDX-License-Identifier: Apache-2.0
"""Many queue pairs, processes and connections; and nothing left of them: see verbs_scale.cpp."""

import re

from lab import GUEST_FOLDER, VerbsError, attempt, kernel_row
from pairs import case, failure_lines, run_pairs, why_failed

HOSTS = 2
TOOL = f"{GUEST_FOLDER}/verbs_scale"
CONNECT = f"{TOOL} connect"
WARM_UP = 100
QUICK_SETS = 4000
SAMPLE_SETS = 400
SECONDS = 600
# A QP with its queues takes some ten KiB, a region one
MEMORY = 5120
# Of the programs that connect two hosts meanwhile; each run of cmtime makes 300 connections.
ROUNDS, FEW_ROUNDS = 10, 2
# What may be left of a loop, in KiB; it says nothing of small objects, which the caches do.
TOLERATED = {"SUnreclaim": 256, "VmallocUsed": 128, "Percpu": 64}
# Objects that a cache may have won meanwhile; what else runs in the guest moves none by half of it.
# One object of every set that is lost is 400 or 4000 of them, one of each that a process leaves
# to the kernel is 250 of 4000 sets, one of each connection is 600.
TOLERATED_OBJECTS = 200
# Caches hold on to free objects, and count them as used, until they are asked to shrink. What vunmap() has left is
# cleared away when the kernel changes rights of pages, as for a module.
SETTLE = """modprobe dummy && rmmod dummy; echo 3 >/proc/sys/vm/drop_caches; sleep 1; echo 2 >/proc/sys/vm/drop_caches
for cache in /sys/kernel/slab/*/shrink; do echo 1 >$cache; done"""


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
    """What rdma counts on each host, without the names of the processes."""
    return [re.sub(r"^\d+: ", "", text.strip()) for text in lab.everywhere("rdma resource show tbib0")]


def memory(lab):
    """KiB of each sum, objects of each cache, by host."""
    lab.everywhere(SETTLE)
    found = {}
    for host, text in enumerate(lab.everywhere("cat /proc/meminfo /proc/slabinfo")):
        sums = re.findall(r"^(\w+):\s+(\d+) kB$", text, re.MULTILINE)
        caches = re.findall(r"^(\S+) +(\d+) +\d+ +\d+ ", text, re.MULTILINE)
        for name, n in caches + [pair for pair in sums if pair[0] in TOLERATED]:
            found[host, name] = int(n)
    return found


def connect_hosts(lab, rounds):
    """What a peer costs: connections by rdma_cm, QPs whose other end is elsewhere."""
    both = [case("cmtime", "cmtime -b @ -c 150", "cmtime -s @ -c 150", seconds=60),
            case("100 QPs", f"{CONNECT} -q 100", f"{CONNECT} -q 100 @", 18700, 60)]
    for result in run_pairs(lab, both * rounds):
        if why_failed(result):
            raise VerbsError(why_failed(result), "\n".join(failure_lines(result)))


def loop(lab, options):
    """Objects made and destroyed: what the program said, how much more there is of what."""
    sets = SAMPLE_SETS if options.sample else QUICK_SETS
    how, limit = (f"-n {sets}", 240) if options.quick else (f"-s {SECONDS}", SECONDS + 60)
    objects, before = resources(lab), memory(lab)
    said = lab.run(0, f"{TOOL} churn {how}", limit).strip().partition(": ")[2]
    connect_hosts(lab, FEW_ROUNDS if options.quick else ROUNDS)
    after, left = memory(lab), resources(lab)
    if left != objects:
        raise VerbsError(f"rdma resource show said '{objects}' before and says '{left}'")
    return said, {key: after[key] - before.get(key, 0) for key in after}


def too_much(grown):
    return {key for key, more in grown.items() if more > TOLERATED.get(key[1], TOLERATED_OBJECTS)}


def told(grown):
    """Of both hosts' memory, and of the cache that won most."""
    host, cache = max((key for key in grown if key[1] not in TOLERATED), key=grown.get)
    sums = (f"{name} {' '.join(f'{grown[host, name]:+}' for host in range(HOSTS))} KiB"
            for name in TOLERATED)
    return ", ".join([*sums, f"{cache} {grown[host, cache]:+} objects"])


def churn(lab, options):
    """A loop leaves nothing: the row's note. What grows once may be anybody's, a leak repeats."""
    lab.run(0, f"{TOOL} churn -n {WARM_UP}", 120)
    connect_hosts(lab, 1)
    said, grown = loop(lab, options)
    if not too_much(grown):
        return f"{said}; {told(grown)}"
    again, more = loop(lab, options)
    if too_much(grown) & too_much(more):
        raise VerbsError(f"kernel memory has grown: {told(grown)}; again: {told(more)}")
    return f"{again}; {told(more)}; before: {told(grown)}"


def fill(lab, options):
    """As many objects as the device has room for; the QPs are left to the kernel."""
    before = resources(lab)
    # each queue is a mapping of its own
    lab.run(0, "sysctl -qw vm.max_map_count=1000000")
    how, limit = ("", 300) if options.quick else ("-a", 1800)
    said = re.findall(r"verbs_scale: (\d+ \w+) of \d+ (in .*)",
                      lab.run(0, f"{TOOL} limits {how}", limit))
    if resources(lab) != before:
        raise VerbsError(f"rdma resource show said '{before}' before and says '{resources(lab)}'")
    return ", ".join(f"{kind} {time}" for kind, time in said)


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
    if not options.sample:
        attempt(table, "as many as there may be", lambda: fill(lab, options))
    kernel_row(lab, table)
