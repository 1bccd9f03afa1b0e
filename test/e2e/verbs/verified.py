# SPDX-License-Identifier: Apache-2.0
"""Every byte compared, guard bytes around it too: path MTUs, scatter lists, families of GIDs."""

import re

from lab import GUEST_FOLDER, VerbsError, attempt, kernel_row
from pairs import case, failure_lines, run_pairs, why_failed

HOSTS = 2
PORT = 18516
TOOL = f"{GUEST_FOLDER}/verbs_check -d tbib0"
MTUS = (256, 512, 1024, 2048, 4096)
PIECES = (16, 32)
MESSAGES = 30
# the index of the GID that is the device's own, of its link-local address
LINK_LOCAL = "-g 0"
# a datagram's path MTU is the port's: what differs is how large it is
UD = "-o UD -m"


def path_mtus():
    for mtu in MTUS:
        yield f"path MTU {mtu}", (f"-n 100 -M {mtu} -q 2 -S {mtu}",
                                  f"-n 60 -M {mtu} -t UC -S {mtu}",
                                  f"-n 40 {UD} {mtu} -S {mtu}",
                                  f"-n 40 -M {mtu} -P 32 -S {mtu}")


def scatter_lists():
    for pieces in PIECES:
        yield f"{pieces} SGEs", (f"-n 120 -P {pieces}",
                                 f"-n 60 -P {pieces} -t UC",
                                 f"-n 60 -P {pieces} {UD} 4096",
                                 f"-n 60 -P {pieces} -s -q 4",
                                 f"-n 60 -P {pieces} -m 512 -I 512",
                                 f"-n 60 -P {pieces} -e")


def groups():
    """Name of a row, options of its runs."""
    yield from path_mtus()
    yield from scatter_lists()
    for name, family in (("IPv6", "-6"), ("IPv6, link-local", LINK_LOCAL)):
        yield name, (f"-n 100 {family} -q 2", f"-n 40 {family} -t UC", f"-n 40 {family} {UD} 4096",
                     f"-n 40 {family} -P 32 -M 256")
    yield "512 bytes inline", ("-n 100 -m 512 -I 512", "-n 60 -m 512 -I 512 -t UC",
                               f"-n 60 -I 512 {UD} 512")


def sample():
    yield "path MTU 256, 32 SGEs", ("-n 60 -M 256 -P 32", "-n 30 -M 256 -P 32 -t UC")
    yield "UD, 32 SGEs, IPv6", (f"-n 30 -6 -P 32 {UD} 4096",)


def packets(lab):
    return int(lab.run(1, "cat /sys/class/infiniband/tbib0/ports/1/hw_counters/sent_pkts"))


def cut_by_mtu(lab):
    """WRITEs go in as many packets as the path MTU demands: the row's note."""
    told = []
    for mtu in MTUS:
        before = packets(lab)
        run = f"-n {MESSAGES} -o WRITE -m 262144 -M {mtu}"
        results = list(run_pairs(lab, [case(run, f"{TOOL} {run}", f"{TOOL} {run} @", PORT, 60)]))
        bad = [line for result in results if why_failed(result) for line in failure_lines(result)]
        if bad:
            raise VerbsError(f"path MTU {mtu}", "\n".join(bad))
        sent = packets(lab) - before
        full = compared(results) // mtu
        # each message may end with a part of a packet; some may have been sent again
        if not full <= sent <= full * 3 // 2 + MESSAGES:
            raise VerbsError(f"path MTU {mtu}: {sent} packets, {full} full ones were due")
        told.append(sent)
    return ", ".join(map(str, told))


def compared(results):
    """Bytes, as both sides of a run count them."""
    return sum(int(number) for result in results
               for number in re.findall(r"(\d+) bytes compared", result["output"]))


def suite(lab, table, options):
    print("every byte compared, host 1 to host 0")
    for name, runs in sample() if options.sample else groups():
        results = run_pairs(lab, [case(run, f"{TOOL} {run}", f"{TOOL} {run} @", PORT, 60)
                                  for run in runs])
        for result in results:
            if not why_failed(result) and "no difference" not in result["output"]:
                result["code"] = "0 and compared nothing"
        bad = [result for result in results if why_failed(result)]
        table.row(name, ok=len(results) - len(bad), fail=len(bad),
                  note=f"{compared(results) / 1e6:.1f} MB",
                  below=[line for result in bad for line in failure_lines(result)])
    attempt(table, "packets of each path MTU", lambda: cut_by_mtu(lab))
    kernel_row(lab, table)
