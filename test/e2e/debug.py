#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The smoke set on a kernel that watches memory and locks: test/debug."""

import argparse
import concurrent.futures
import glob
import os
import re
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
MODULE = os.path.join(HERE, "../../module")
sys.path.insert(0, os.path.join(HERE, "verbs"))
# pylint: disable=wrong-import-position
import atomics
import debug_storage
import mpi
import nccl_shape
import pyverbs
import rdmacm
import rules
import scale
import surface
from lab import GUEST_FOLDER, SPLAT, Lab, VerbsError, attempt, is_complaint
from perftest import client_of
from table import Table

# Of surface's groups: the debug kernel has no VLAN, ipvlan and macvlan, nor netlink for ethtool.
SURFACE = [group for group in surface.GROUPS if group not in ("uppers", "ethtool")]
# A report ends with "end trace", or after so many lines.
REPORT_LINES = 120
# What the other host says, and is to say, of a router that goes without a word.
NO_FAREWELL = "the peer acknowledges nothing"
LISTENERS = "{ ss -Htln; rdma resource show cm_id 2>/dev/null | grep 'state LISTEN'; }"

PINGPONGS = ("rping", "ucmatose", "udaddy", "rdma_client", "rdma_xclient, RC", "rstream", "riostream, verified",
             "rcopy", "cmtime", "ibv_rc_pingpong", "ibv_uc_pingpong", "ibv_ud_pingpong",
             "ibv_srq_pingpong")
PERFTEST = tuple(
    f"ib_{what}" for what in (
        "write_bw -n 100 -s 65536", "write_bw -n 100 -s 4096 -q 4", "write_bw -n 100 -R",
        "write_bw -n 100 -b", "write_lat -n 100 -c UC",
        "read_bw -n 100 -s 65536", "send_bw -n 100 -s 65536", "send_bw -n 100 -c UC -s 4096",
        "send_bw -n 100 -c UD -s 1024", "send_bw -n 100 -e", "send_bw -n 100 --use-srq -q 2",
        "atomic_bw -n 100", "atomic_bw -n 100 -A CMP_AND_SWAP", "write_lat -n 100",
        "read_lat -n 100", "send_lat -n 100", "send_lat -n 100 -c UD", "send_lat -n 100 -I 64",
        "atomic_lat -n 100"))


class DebugLab(Lab):
    """Hosts in a chain whose kernel logs are read after each step; two have two processors each."""

    def __init__(self, options, hosts):
        super().__init__(options, hosts, cpus=2 if hosts == 2 else 1, memory=2048)
        self.far = hosts - 1
        if options.append:
            self.up += ["--append", options.append]
        self.seen = [0] * hosts
        # An emulated processor that checks every access runs some five times slower.
        self.patience = 6 if options.kernel == "debug" else 1

    def run(self, host, command, timeout=60):
        return super().run(host, command, timeout * self.patience)

    def reports(self):
        """What the kernels complained about since the last call: (host, text)."""
        for host in range(self.hosts):
            lines = self.log(host)
            new, self.seen[host] = lines[self.seen[host]:], len(lines)
            while new:
                if not is_complaint(new[0]):
                    new = new[1:]
                    continue
                end = 1
                if SPLAT.search(new[0]):
                    end = next((i + 1 for i, line in enumerate(new[:REPORT_LINES])
                                if "end trace" in line), min(len(new), REPORT_LINES))
                text = "\n".join(new[:end])
                new = new[end:]
                yield host, text

    def listeners(self, host):
        """How many there are, those of the kernel's own services too."""
        return int(self.run(host, f"{LISTENERS} | wc -l"))

    def listening(self, host, before):
        """Waits until there are more of them."""
        self.run(host, f"for i in $(seq 300); do [ $({LISTENERS} | wc -l) -gt {before} ] && exit 0; "
                 "sleep 0.1; done; exit 1", timeout=60)

    def pair(self, server, client, seconds=30):
        """A server on host 0 and its client on the last; '@' in either is host 0's address."""
        address = self.address(0)
        server, client = (f"timeout {seconds * self.patience} {command.replace('@', address)}"
                          for command in (server, client))
        failure = []
        before = self.listeners(0)

        def serve():
            try:
                self.run(0, server, timeout=seconds + 10)
            except VerbsError as error:
                failure.append(error)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            self.listening(0, before)
            self.run(self.far, client, timeout=seconds + 10)
        finally:
            thread.join()
        if failure:
            raise failure[0]

    def background(self, host, command):
        self.run(host, f"setsid sh -c {sh(command)} </dev/null >/tmp/background.log 2>&1 &")

    def wait_for(self, host, condition, seconds=30):
        self.run(host, f"for i in $(seq {5 * seconds * self.patience}); do {condition} && exit 0; "
                 "sleep 0.2; done; exit 1", timeout=2 * seconds)

    def ready(self):
        for host in range(self.hosts):
            self.wait_for(host, "{ rdma link show tbib0/1 | grep -q ACTIVE && "
                          "ip -br -4 a show tbib0 | grep -q /; }", 60)
        self.wait_for(self.far, f"ping -c 1 -W 2 {self.address(0)} >/dev/null")

    def load(self, options="-D 600"):
        """perftest between the ends of the chain that does not end by itself."""
        before = self.listeners(0)
        self.background(0, f"ib_write_bw -d tbib0 -F {options}")
        self.listening(0, before)
        self.background(self.far, f"ib_write_bw -d tbib0 -F {options} {self.address(0)}")
        time.sleep(4 + self.patience)
        for host in (0, self.far):
            self.run(host, "pidof ib_write_bw || { cat /tmp/background.log; exit 1; }")

    def end_load(self):
        for host in range(self.hosts):
            self.run(host, "killall -q -KILL ib_write_bw; exit 0")

    def resources(self, host):
        return re.search(r"tbib0: (.*)", self.run(host, "rdma resource show")).group(1)

    def insert(self, host):
        self.run(host, f"insmod {GUEST_FOLDER}/tbib.ko", timeout=60)

    def remove(self, host):
        self.run(host, "rmmod tbib", timeout=60)


def sh(text):
    return "'" + text.replace("'", "'\\''") + "'"


# ---- steps: each is (name, what it does) ----------------------------------------------

def kunit(lab):
    """The module's KUnit suites have run when it was inserted; only the debug kernel's has any."""
    suites = []
    for path in glob.glob(f"{MODULE}/*/*_kunit.c"):
        with open(path, encoding="utf-8") as stream:
            suites += re.findall(r'^\t\.name = "(\w+)",', stream.read(), flags=re.M)

    def passed():
        said = lab.run(0, "dmesg | grep -A 999 'KTAP version'")
        counts = re.findall(r"# (tbib_\w+): pass:(\d+) fail:(\d+) skip:(\d+)", said)
        if not suites or sorted(suites) != sorted(suite for suite, *_ in counts):
            raise VerbsError(f"these suites ended: {counts}, there are {suites}", said)
        if any(int(done) == 0 or fail + skip != "00" for _, done, fail, skip in counts):
            told = [line for line in said.splitlines()
                    if re.search(r"not ok|EXPECT|ASSERT|==|# tbib_\w+: pass", line)]
            raise VerbsError(f"{len(counts)} suites ended", "\n".join(told) or said)

    yield "KUnit", passed


def pingpongs(lab):
    for name, server, client in rdmacm.PAIRS:
        if name not in PINGPONGS:
            continue
        few = [re.sub(r"-C \d+", "-C 10", command) for command in (server, client)]
        # the one that takes files for ever
        few[0] = few[0].replace("timeout 6 ", f"timeout {4 * lab.patience} ")
        yield name, lambda few=few: lab.pair(*few)
    yield "mckey", lambda: rdmacm.multicast(lab, 1000)
    yield "fi_pingpong", lambda: lab.pair(mpi.FABRIC, mpi.FABRIC + " @", 60)


def perftest(lab):
    for command in PERFTEST:
        name, _, options = command.partition(" ")
        command = f"{name} -d tbib0 -F {options}"
        yield name[3:] + " " + options, lambda c=command: lab.pair(c, client_of(c))


def verified(lab):
    """Every byte compared, which perftest does not do."""
    for options in ("-n 100 -q 2", "-n 50 -e -S 7", "-n 40 -P 32 -M 256", "-n 40 -P 16 -t UC"):
        command = f"{GUEST_FOLDER}/verbs_check -d tbib0 {options}"
        yield "verbs_check " + options, lambda c=command: lab.pair(c, c + " @", 60)
    for options in ("-q 1 -n 60", "-q 4 -n 40 -m 1048576 -D 4"):
        command = f"{nccl_shape.TOOL} {options}"
        yield "nccl_shape " + options, lambda c=command: lab.pair(c, c + " @", 60)


def promises(lab):
    """Order, errors, windows and states between two hosts."""
    for scene in rules.scenes(lab):
        command = f"{rules.TOOL} {scene}"
        yield "verbs_rules " + scene, lambda c=command: lab.pair(c, c + " @", 60)


def many(lab):
    """Of objects at once, and one after the other."""
    for options in ("-q 100", "-q 4 -P 8"):
        command = f"{scale.CONNECT} {options}"
        yield f"verbs_scale {options}", lambda c=command: lab.pair(c, c + " @", 60)
    yield "verbs_scale atomics", lambda: lab.pair(f"{atomics.TOOL} -q 2", f"{atomics.TOOL} -q 2 @", 60)
    yield "verbs_scale churn", lambda: lab.run(0, f"{scale.TOOL} churn -n 200", timeout=120)


def message_passing(lab):
    mpi.serve(lab)
    yield "MPI, rc_v", lambda: mpi.all_reduce(lab, 2, "rc_v", 1 << 20, 60 * lab.patience)
    yield "MPI, ud_v", lambda: mpi.all_reduce(lab, 2, "ud_v", 1 << 18, 60 * lab.patience)


def network(lab):
    def flood():
        lab.run(1, f"ping -q -f -c 300 -s 8000 {lab.address(0)} | grep -q ' 0% packet loss'",
                timeout=60)

    def streams():
        lab.run(0, "iperf3 -s -D")
        lab.wait_for(0, "{ ss -Htln | grep -q 5201; }")
        for more in ("", "-R", "-u -b 50M"):
            lab.run(1, f"iperf3 -t 3 {more} -c {lab.address(0)}", timeout=60)
        lab.run(0, "killall iperf3")

    def asked():
        lab.run(0, "cat /sys/class/infiniband/tbib0/ports/1/*counters/* >/dev/null; "
                "rdma statistic show && rdma resource show qp && rdma resource show mr && "
                "ethtool -S tbib0 && ethtool -i tbib0 && ethtool -c tbib0 && ethtool -g tbib0 && ibstat tbib0 && "
                "ibv_devices | grep -q tbib0 && ibv_devinfo -v -d tbib0 && "
                f"{GUEST_FOLDER}/tbibctl status", timeout=60)

    yield "ping", flood
    yield "iperf3", streams
    yield "counters and resources", asked


def administration(lab):
    """What administrators' tools show and do, but for what this kernel has not."""
    with surface.other_end(lab, plain=True) as peer:
        for group in SURFACE:
            def checks(group=group):
                rows = surface.rows(lab, peer, (group,), lab.patience)
                bad = [f"{row['name']}: {' '.join(row['below'])}" for row in rows if not row["ok"]]
                if bad or not rows:
                    raise VerbsError(f"{len(bad)} of {len(rows)} checks failed", "\n".join(bad))
            yield f"administrators' tools, {group}", checks


def loss(lab):
    def lossy():
        lab.tblab("fault", "0", "drop=0.001", "crc-error=0.001")
        try:
            command = "ib_write_bw -d tbib0 -F -n 500 -s 65536"
            lab.pair(command, command + " @", 60)
            lab.pair("rping -s -a @ -C 50", "rping -c -a @ -C 50")
            for options in ("-n 60 -q 2", "-n 40 -s"):
                command = f"{GUEST_FOLDER}/verbs_check -d tbib0 {options}"
                lab.pair(command, command + " @", 60)
        finally:
            lab.tblab("fault", "clear")

    yield "one frame in 1000 lost, one damaged", lossy


def replug(lab):
    def pulled():
        lab.load()
        lab.tblab("unplug", "0")
        lab.wait_for(0, "rdma link show tbib0/1 | grep -q DOWN")
        time.sleep(2)
        lab.tblab("plug", "0")
        lab.ready()
        lab.end_load()
        lab.pair("rping -s -a @ -C 10", "rping -c -a @ -C 10")

    yield "cable replugged under load", pulled


def killed(lab):
    def killing():
        before = [lab.resources(host) for host in range(lab.hosts)]
        for victim in (1, 0):
            lab.load("-D 600 -s 1048576 -q 2")
            lab.run(victim, "killall -KILL ib_write_bw")
            lab.wait_for(victim, f"rdma resource show | grep -qF {sh(before[victim])}")
            lab.end_load()
            for host in range(lab.hosts):
                lab.wait_for(host, f"rdma resource show | grep -qF {sh(before[host])}")

    yield "process killed with work outstanding", killing


def reload(lab):
    def again():
        for host in (0, 1):
            lab.remove(host)
            lab.insert(host)
            lab.ready()
        lab.pair("rping -s -a @ -C 10", "rping -c -a @ -C 10")

    def repeated():
        """Late copies of questions and answers, which the core must not take for its own."""
        lab.tblab("fault", "0", "service-repeat=10")
        try:
            for _ in range(3):
                again()
        finally:
            lab.tblab("fault", "clear")

    def under_load():
        lab.run(0, "iperf3 -s -D")
        lab.wait_for(0, "{ ss -Htln | grep -q 5201; }")
        for host in (1, 0):
            address = lab.address(0)
            lab.background(1, f"iperf3 -t 600 -c {address} & ping -q -f {address}")
            time.sleep(3)
            lab.remove(host)
            lab.run(1, "killall -q iperf3 ping; exit 0")
            lab.insert(host)
            lab.ready()
        lab.run(0, "killall iperf3")

    def in_use():
        """Programs that poll, that sleep, and one that goes later than the module whose pages it has mapped."""
        for host in (1, 0):
            lab.load()
            before = lab.listeners(0)
            lab.background(0, f"rping -s -a {lab.address(0)} -C 1000000")
            lab.listening(0, before)
            lab.background(1, f"rping -c -a {lab.address(0)} -C 1000000")
            lab.background(host, "ibv_rc_pingpong -d tbib0 -g 1 -p 18600")
            time.sleep(2 + lab.patience)
            lab.run(host, "pidof rping && pidof ibv_rc_pingpong")
            lab.remove(host)
            # the server of WRITEs only waits for a word over TCP
            lab.wait_for(host, f"! pidof rping {'ib_write_bw' if host else ''} >/dev/null")
            lab.run(host, "pidof ibv_rc_pingpong && killall -KILL ibv_rc_pingpong")
            lab.end_load()
            lab.run(1 - host, "killall -q -KILL rping; exit 0")
            lab.insert(host)
            lab.ready()
            lab.pair("rping -s -a @ -C 10", "rping -c -a @ -C 10")

    def disowned():
        """rmmod rdma_rxe takes the verbs device from its users (ADR 2)."""
        lab.run(1, "modprobe rdma_rxe", timeout=60)
        lab.load()
        lab.run(1, "rmmod rdma_rxe", timeout=60)
        lab.end_load()
        lab.ready()

    yield "rmmod and insmod", again
    yield "logins that come again and again", repeated
    yield "rmmod under load", under_load
    yield "rmmod under programs of verbs", in_use
    yield "rmmod rdma_rxe under load", disowned


def unbind(lab):
    def taken_away():
        """The router goes while a process holds all that a verbs user can hold."""
        lab.load()
        unbind_it, bind_it = debug_storage.router(lab, 1)
        lab.run(1, unbind_it, timeout=60)
        lab.end_load()
        lab.run(1, bind_it, timeout=60)
        lab.ready()

    yield "host router unbound under load", taken_away


def suite(lab):
    """rdma-core's own tests, over loopback; which skips are right is test/verbs' to judge."""
    lab.run(0, pyverbs.PREPARE)
    known = pyverbs.expected_skips(lab.release, pyverbs.librxe_version(lab))
    for module in pyverbs.MODULES + pyverbs.OURS:
        def run(module=module):
            results = pyverbs.run_module(lab, "tbib0", module, 240)
            failed = [f"{test}: {why}" for test, (result, why) in results.items()
                      if result == "fail" and pyverbs.not_as_listed(test, result, why, known, None)]
            if failed:
                raise VerbsError(f"{len(failed)} tests failed", "\n".join(failed))
        yield f"test_{module}", run


def no_memory(lab):
    """Allocations of one process fail now and then; it may end as it likes."""
    def failing():
        lab.run(0, "cd /sys/kernel/debug/failslab && echo Y >task-filter && echo 0 >verbose && "
                "echo N >ignore-gfp-wait && echo 1000000 >times && echo 3 >probability")
        command = "sh -c 'echo 1 >/proc/self/make-it-fail; {}'"
        try:
            for _ in range(10):
                for program in ("ibv_rc_pingpong -d tbib0 -g 1 -n 20",
                                "ib_send_bw -d tbib0 -F -n 20",
                                "rping -s -C 2"):
                    # Its peer would be there in vain: most of these end before they listen.
                    lab.run(0, f"timeout 10 {command.format('exec ' + program)} >/dev/null 2>&1; "
                            "exit 0", timeout=60)
        finally:
            lab.run(0, "echo 0 >/sys/kernel/debug/failslab/probability")
        failed = 1000000 - int(lab.run(0, "cat /sys/kernel/debug/failslab/times"))
        if failed < 100:
            raise VerbsError(f"only {failed} allocations failed")
        lab.ready()

    yield "failing allocations", failing


def transit(lab):
    """A host between the two forwards, and copies what goes to many; then it goes itself."""
    check = f"{GUEST_FOLDER}/verbs_check -d tbib0 -n 60 -q 2"

    def lossy():
        for cable in ("0", "1"):
            lab.tblab("fault", cable, "drop=0.001", "crc-error=0.001")
        try:
            lab.pair(check, check + " @", 90)
        finally:
            lab.tblab("fault", "clear")

    def pulled():
        lab.load()
        lab.tblab("unplug", "1")
        lab.wait_for(lab.far, "rdma link show tbib0/1 | grep -q DOWN")
        time.sleep(2)
        lab.tblab("plug", "1")

    def reloaded():
        lab.load()
        lab.remove(1)
        lab.insert(1)

    def again(disturb):
        disturb()
        lab.ready()
        lab.end_load()
        lab.pair("rping -s -a @ -C 10", "rping -c -a @ -C 10")

    yield "rping, two cables away", lambda: lab.pair("rping -s -a @ -C 20", "rping -c -a @ -C 20")
    yield "verbs_check, two cables away", lambda: lab.pair(check, check + " @", 60)
    yield "mckey to three hosts", lambda: rdmacm.multicast(lab, 1000)
    yield "one frame in 1000 lost, one damaged", lossy
    yield "far cable replugged under load", lambda: again(pulled)
    yield "rmmod in the middle under load", lambda: again(reloaded)


STEPS = {"kunit": kunit, "pingpongs": pingpongs, "perftest": perftest, "verified": verified,
         "rules": promises, "many": many, "mpi": message_passing, "network": network,
         "surface": administration,
         "storage": debug_storage.storage, "loss": loss, "replug": replug,
         "killed": killed, "reload": reload, "unbind": unbind, "no_memory": no_memory,
         "pyverbs": suite, "transit": transit}
HOSTS = {"transit": 3}      # all others: 2


# ---- what is left at the end ------------------------------------------------------------

def leaks(lab, host):
    """What kmemleak cannot find a reference to, in blocks. It wants to see it twice."""
    lab.run(host, "for i in 1 2; do sleep 5; echo scan >/sys/kernel/debug/kmemleak; done",
            timeout=300)
    text = lab.run(host, "cat /sys/kernel/debug/kmemleak", timeout=120)
    return re.split(r"(?=^unreferenced object)", text, flags=re.M)[1:]


def mappings(lab, host):
    """DMA mappings of the host router that the kernel knows of."""
    return int(lab.run(host, "grep -c thunderbolt /sys/kernel/debug/dma-api/dump; exit 0"))


def all_on(lab):
    """Lockdep ends its work when it runs out of room, too, and so do DMA mappings' checks."""
    for host in range(lab.hosts):
        lab.run(host, "grep -q 'debug_locks: *1' /proc/lockdep_stats")
        lab.run(host, "grep -qx N /sys/kernel/debug/dma-api/disabled")


def leftovers(lab):
    """Leaks while the module is there, whose traces it can name, and when it is gone; and a
    round of insmod and rmmod must end with as many DMA mappings as it began with."""
    def without():
        for host in range(lab.hosts):
            lab.remove(host)

    def none_lost(when):
        with concurrent.futures.ThreadPoolExecutor() as pool:
            for host, found in enumerate(pool.map(lambda h: leaks(lab, h), range(lab.hosts))):
                if found:
                    raise VerbsError(f"host {host}, {when}: {len(found)} unreferenced objects",
                                     "".join(found))

    none_lost("with the module")
    without()
    none_lost("without the module")
    before = [mappings(lab, host) for host in range(lab.hosts)]
    for host in range(lab.hosts):
        lab.insert(host)
    lab.ready()
    without()
    after = [mappings(lab, host) for host in range(lab.hosts)]
    if after != before:
        raise VerbsError(f"DMA mappings of the hosts: {before}, a round later {after}")


def unloaded(lab, bounced):
    """The last rmmod; with swiotlb=force, tbib's buffers must have been bounced until then."""
    for host in range(lab.hosts):
        used = "cat /sys/kernel/debug/swiotlb/io_tlb_used"
        before = int(lab.run(host, used)) if bounced else 0
        lab.remove(host)
        if bounced and int(lab.run(host, used)) >= before:
            raise VerbsError(f"host {host}: {before} bounce buffers, none given back by rmmod")


def watched(lab, tally, name, action):
    """A step, and what the kernels said during it."""
    attempt(tally, name, action)
    try:
        reports = list(lab.reports())
    except VerbsError as error:
        reports = [("?", str(error))]
    for host, text in reports:
        if "unbound" in name and NO_FAREWELL in text:
            continue
        tally.row(f"  kernel of host {host}", fail=1)
        print(text, flush=True)


def run(options, hosts, tally):
    """The steps that want so many hosts."""
    steps = [STEPS[step] for step in options.step if HOSTS.get(step, 2) == hosts]
    if not steps:
        return
    lab = DebugLab(options, hosts)
    with lab:
        tally.evidence = lab.evidence
        watching = options.kernel == "debug"
        watched(lab, tally, f"{hosts} hosts up, module loaded, links active", lab.ready)
        for step in steps:
            for name, action in step(lab):
                watched(lab, tally, name, action)
        if watching:
            watched(lab, tally, "lockdep and DMA checks on to the end", lambda: all_on(lab))
            watched(lab, tally, "kmemleak and DMA mappings", lambda: leftovers(lab))
        else:
            watched(lab, tally, "rmmod",
                    lambda: unloaded(lab, "swiotlb=force" in options.append))


def main():
    parser = argparse.ArgumentParser(prog="test/debug", description=__doc__)
    parser.add_argument("step", nargs="*", help=f"of {', '.join(STEPS)}; default: all")
    parser.add_argument("--kernel", default="debug", help="debug (default), stable or newest")
    parser.add_argument("--append", default="", help="more words for the kernel command line")
    parser.add_argument("--name", default="debug", help="of the lab")
    parser.add_argument("--preset", choices=("strix", "intel"), default="intel",
                        help="the hosts' router: 12 ring pairs (intel) or 3 (strix)")
    parser.add_argument("--built", metavar="FOLDER",
                        help="has what Bazel builds, which is then not called")
    options = parser.parse_args()
    for step in options.step:
        if step not in STEPS:
            parser.error(f"unknown step '{step}', there are: {', '.join(STEPS)}")
    if not options.step:
        options.step = [step for step in STEPS
                        if options.kernel == "debug" or step not in ("kunit", "no_memory")]
    tally = Table()
    for hosts in (2, 3):
        try:
            run(options, hosts, tally)
        except VerbsError as error:
            print(f"test/debug: {error}\n{error.detail}", file=sys.stderr)
            tally.evidence = tuple
            tally.row("the lab", fail=1)
    return tally.close()


if __name__ == "__main__":
    sys.exit(main())
