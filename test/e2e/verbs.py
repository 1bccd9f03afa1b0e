#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Programs that RDMA users have, against tbib in the lab: test/verbs."""

import argparse
import concurrent.futures
import contextlib
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CACHE = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "tbib")
TBLAB = os.path.join(ROOT, "bazel-bin/test/lab/cli/tblab")
GUEST_FOLDER = "/opt/tbib"
SKIPS = os.path.join(ROOT, "test/e2e/verbs/pyverbs_skips")
# everything in the suite that is not for one vendor's provider, and ours
PYVERBS = ("addr atomic cq cq_events cqex cuda_dmabuf device flow fork mr odp parent_domain pd qp "
           "qpex rdmacm relaxed_ordering rss_traffic shared_pd srq tag_matching "
           "tbib_regions tbib_windows").split()

BOOT = """k={folder}/tbib.ko
modprobe -a $(modinfo -F depends $k | tr , ' ') && insmod $k && mkdir -p /run/tbib
setsid {folder}/tbibd --no-modprobe </dev/null >/run/tbib/log 2>&1 &"""


class VerbsError(Exception):
    """Says in one line what did not work; detail is what the program at fault printed."""

    def __init__(self, text, detail=""):
        super().__init__(text)
        self.detail = detail


def call(command, timeout=3600):
    done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace",
                          timeout=timeout, check=False)
    if done.returncode != 0:
        raise VerbsError(f"'{' '.join(command)}' ended with {done.returncode}", done.stdout)
    return done.stdout


class Tally:
    """Rows of the table and the closing line."""

    def __init__(self):
        self.counts = {"ok": 0, "fail": 0, "skip": 0}

    def row(self, name, ok=0, fail=0, skip=0):
        for key, n in (("ok", ok), ("fail", fail), ("skip", skip)):
            self.counts[key] += n
        print(f"  {name:<34} {ok:4} passed {fail:4} failed {skip:4} skipped", flush=True)

    def close(self):
        print(f"\n{self.counts['ok']} passed, {self.counts['fail']} failed, "
              f"{self.counts['skip']} skipped")
        return 1 if self.counts["fail"] or not self.counts["ok"] else 0


class Lab:
    """Hosts in a chain, with the module for their kernel and the daemon."""

    def __init__(self, options, hosts):
        self.name = options.name
        self.hosts = hosts
        release = "7.3" if options.kernel in ("7.3", "newest") else "6.12"
        call(["bazel", "build", "//test/lab/cli:tblab", "//test/e2e/tbib:userspace",
              f"//module:tbib-{release}"])
        self.folder = tempfile.mkdtemp(prefix="tbib-verbs-")
        for source in (f"bazel-bin/module/tbib-{release}/tbib.ko",
                       "bazel-bin/test/e2e/tbib/tbibd", "bazel-bin/test/e2e/tbib/tbibctl",
                       "test/e2e/verbs/pyverbs_guest.py"):
            shutil.copy(os.path.join(ROOT, source), self.folder)
        os.chmod(os.path.join(self.folder, "tbibd"), 0o755)
        self.kernel = options.kernel

    def tblab(self, *arguments, timeout=600):
        return call([TBLAB, "--name", self.name, *arguments], timeout)

    def run(self, host, command, timeout=60):
        return self.tblab("run", "--timeout", str(timeout), str(host), command,
                          timeout=timeout + 30)

    def __enter__(self):
        try:
            self.tblab("up", "--hosts", str(self.hosts), "--kernel", self.kernel, "--modules",
                       "thunderbolt,ib_uverbs,rdma_ucm", "--extra", self.folder)
            for host in range(self.hosts):
                self.run(host, BOOT.format(folder=GUEST_FOLDER))
            self.until_active()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        with contextlib.suppress(VerbsError):
            self.tblab("down")
        shutil.rmtree(self.folder, ignore_errors=True)

    def until_active(self):
        for host in range(self.hosts):
            self.run(host, "for i in $(seq 80); do rdma link show | grep -q ACTIVE && "
                     "ip -br -4 a show tbib0 | grep -q '/' && exit 0; sleep 0.5; done; exit 1")

    def address(self, host):
        return re.search(r"([\d.]+)/", self.run(host, "ip -br -4 a show tbib0")).group(1)

    def complaints(self):
        """Hosts whose kernel has something to say."""
        said = "dmesg | grep -E 'BUG:|WARNING:|Oops|general protection|KASAN|rcu.*stall' || true"
        return [f"host {host}: {line}" for host in range(self.hosts)
                for line in self.run(host, said).splitlines()]


# ---- pyverbs ------------------------------------------------------------------------

def pyverbs_suite(folder):
    """The suite of the Debian release that the guests run; their image leaves documents out."""
    cached = os.path.join(CACHE, "pyverbs")
    if not glob.glob(os.path.join(cached, "*.deb")):
        os.makedirs(cached, exist_ok=True)
        call(["test/lab/image/enter", cached, "--", "sh", "-c",
              "apt-get -qq update && apt-get -qq download python3-pyverbs"])
    package = glob.glob(os.path.join(cached, "*.deb"))[0]
    with tempfile.TemporaryDirectory() as unpacked:
        call(["dpkg-deb", "-x", package, unpacked])
        tests = os.path.join(folder, "tests")
        shutil.copytree(os.path.join(unpacked, "usr/share/doc/rdma-core/tests"), tests)
    for ours in glob.glob(os.path.join(ROOT, "test/e2e/verbs/*tbib_*.py")):
        shutil.copy(ours, tests)
    packed = glob.glob(os.path.join(tests, "*.gz"))
    if packed:
        call(["gunzip", *packed])


def expected_skips():
    with open(SKIPS, encoding="utf-8") as stream:
        lines = [line.strip() for line in stream]
    return [line.split(": ", 1) for line in lines if line and not line.startswith("#")]


def pyverbs_rows(output):
    for line in output.splitlines():
        fields = line.split("\t")
        if len(fields) == 3 and fields[0] in ("ok", "skip", "fail"):
            yield fields


def pyverbs(options, tally):
    lab = Lab(options, 2)
    pyverbs_suite(lab.folder)
    known = expected_skips()
    print("pyverbs, over loopback")
    with lab:
        for module in PYVERBS:
            counts = {"ok": 0, "skip": 0, "fail": 0}
            failures = []
            output = lab.run(0, f"python3 {GUEST_FOLDER}/pyverbs_guest.py {GUEST_FOLDER} tbib0 1 "
                             f"test_{module} 2>/tmp/pyverbs.err || echo 'fail\ttest_{module}\t"
                             "ended early'", timeout=240)
            for result, test, why in pyverbs_rows(output):
                if result == "skip" and not any(part in why for part, _ in known):
                    result, why = "fail", f"skipped, which is new: {why}"
                counts[result] += 1
                if result == "fail":
                    failures.append(f"    {test}: {why}")
            tally.row(f"test_{module}", **counts)
            for line in failures:
                print(line)
        kernel_row(lab, tally)


# ---- rdma_cm and friends --------------------------------------------------------------

# name, on host 0, on the last host ("@" is host 0's address)
PAIRS = (
    ("rping", "rping -s -a @ -v -C 50", "rping -c -a @ -v -C 50"),
    ("ucmatose", "ucmatose -b @ -C 50 -S 65536", "ucmatose -s @ -C 50 -S 65536"),
    ("udaddy", "udaddy -b @ -C 50 -S 2000", "udaddy -s @ -C 50 -S 2000"),
    ("rdma_server", "rdma_server", "rdma_client -s @"),
    ("rstream", "rstream -b @ -C 20", "rstream -s @ -C 20"),
    ("ibv_rc_pingpong", "ibv_rc_pingpong -d tbib0 -g 1 -c", "ibv_rc_pingpong -d tbib0 -g 1 -c @"),
    ("ibv_uc_pingpong", "ibv_uc_pingpong -d tbib0 -g 1 -c", "ibv_uc_pingpong -d tbib0 -g 1 -c @"),
    ("ibv_ud_pingpong", "ibv_ud_pingpong -d tbib0 -g 1 -c", "ibv_ud_pingpong -d tbib0 -g 1 -c @"),
    ("ibv_srq_pingpong", "ibv_srq_pingpong -d tbib0 -g 1 -c",
     "ibv_srq_pingpong -d tbib0 -g 1 -c @"),
)


def attempt(tally, name, action):
    try:
        action()
        tally.row(name, ok=1)
    except VerbsError as error:
        tally.row(name, fail=1)
        print(f"    {error}\n    " + "\n    ".join(error.detail.splitlines()[-8:]))


def together(*jobs):
    """Runs the jobs at once; the first ones are given a second's lead over the last."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        running = [pool.submit(job) for job in jobs[:-1]]
        time.sleep(1)
        jobs[-1]()
        for job in running:
            job.result()


def multicast(lab, size):
    """From host 0 to all hosts, itself included, which is more than one cable away."""
    def mckey(host, options):
        lab.run(host, f"timeout 20 mckey -m 239.7.7.7 -b {lab.address(host)} -C 50 -S {size}"
                + options, timeout=40)

    receivers = [lambda host=host: mckey(host, "") for host in range(lab.hosts)]
    together(*receivers, lambda: (time.sleep(1), mckey(0, " -s")))


def rdmacm(options, tally):
    print("connection manager and pingpong programs, three hosts in a chain")
    with Lab(options, 3) as lab:
        far = lab.hosts - 1
        address = lab.address(0)
        for name, server, client in PAIRS:
            commands = [f"timeout 30 {c.replace('@', address)}" for c in (server, client)]
            attempt(tally, name, lambda: together(lambda: lab.run(0, commands[0]),
                                                  lambda: lab.run(far, commands[1])))
        for size in (1000, 4000):
            attempt(tally, f"mckey, {size} bytes", lambda: multicast(lab, size))
        kernel_row(lab, tally)


def kernel_row(lab, tally):
    complaints = lab.complaints()
    tally.row("kernel logs", fail=1 if complaints else 0, ok=0 if complaints else 1)
    for line in complaints:
        print(f"    {line}")


SUITES = {"pyverbs": pyverbs, "rdmacm": rdmacm}


def main():
    parser = argparse.ArgumentParser(prog="test/verbs", description=__doc__)
    parser.add_argument("suite", nargs="*", help=f"of {', '.join(SUITES)}; default: all")
    parser.add_argument("--kernel", default="stable",
                        help="stable or 6.12 (default), newest or 7.3")
    parser.add_argument("--name", default="verbs", help="of the lab")
    options = parser.parse_args()
    for suite in options.suite:
        if suite not in SUITES:
            parser.error(f"unknown suite '{suite}', there are: {', '.join(SUITES)}")
    tally = Tally()
    try:
        for suite in options.suite or SUITES:
            SUITES[suite](options, tally)
    except VerbsError as error:
        print(f"test/verbs: {error}\n{error.detail}", file=sys.stderr)
        tally.row("the lab", fail=1)
    return tally.close()


if __name__ == "__main__":
    sys.exit(main())
