#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The Debian packages on two machines that boot with systemd, as a person has them.

Installs them, starts the unit, restarts and kills the daemon under traffic, takes the
module away and brings it back by the unit, and removes the packages. Prints a line per
case and ends with a report in the form of Boost.Test, which test/check counts.
"""

import contextlib
import json
import re
import sys
import tempfile

import demo

KERNEL = "6.12"


class Failed(Exception):
    """A case did not hold; says how."""


def expect(condition, text):
    if not condition:
        raise Failed(text)


class Traffic:
    """Pings and RDMA WRITEs over tbib0, from host 1 to host 0, for some seconds."""

    def __init__(self, lab, address, seconds):
        self.lab = lab
        write = f"ib_write_bw -F -d tbib0 -p 18600 -s 65536 -D {seconds}"
        lab.run(0, f"systemd-run --unit=writes --collect --no-block {write}")
        lab.until(0, "ib_write_bw", "ss -Hltn 'sport = :18600' | grep -q .", 20)
        lab.run(1, "rm -f /run/pings /run/writes")
        lab.run(1, "systemd-run --unit=pings --no-block sh -c "
                   f"'ping -O -i 0.05 -W 5 -c {seconds * 20} {address} >/run/pings 2>&1'")
        lab.run(1, "systemd-run --unit=writes --no-block sh -c "
                   f"'{write} {address} >/run/writes 2>&1; echo rc=$? >>/run/writes'")

    def finish(self):
        for unit in ("pings", "writes"):
            self.lab.until(1, f"the end of {unit}", f"! systemctl is-active -q {unit}", 90)
        pings = self.lab.run(1, "grep -v 'bytes from' /run/pings")
        expect(", 0% packet loss" in pings, pings)
        writes = self.lab.run(1, "cat /run/writes")
        expect("rc=0" in writes, writes)


class Packages:
    """The cases, in the order in which they build on each other."""

    def __init__(self, lab):
        self.lab = lab
        self.addresses = None

    def install(self):
        self.lab.both(demo.INSTALL, timeout=600)
        for state in self.lab.both("systemctl is-enabled tbibd || true"):
            expect(state.strip() == "disabled", f"is-enabled says {state}")
        loaded = self.lab.both("lsmod | grep -c ^tbib || true")
        expect(set(map(str.strip, loaded)) == {"0"}, "installing loads the module")

    def enable(self):
        self.lab.both("systemctl enable --now tbibd")
        self.lab.tblab("plug", "0")
        self.addresses = demo.fabric_up(self.lab)
        link = self.lab.run(0, "rdma link show tbib0/1")
        expect("state ACTIVE physical_state LINK_UP netdev tbib0" in link, link)
        status = json.loads(self.lab.run(0, "tbibctl status --json"))
        expect(status, "no status")
        expect(self.lab.run(0, "tbibctl doctor") is not None, "doctor")
        journal = self.lab.run(0, "journalctl -u tbibd -o json --no-pager | tail -n 50")
        expect("TBIB_" in journal, "no field of ours in the journal")

    def restart(self):
        traffic = Traffic(self.lab, self.addresses[0], 8)
        for _ in range(2):
            self.lab.both("sleep 1; systemctl restart tbibd")
        traffic.finish()
        self.lab.both("systemctl is-active tbibd")

    def kill(self):
        traffic = Traffic(self.lab, self.addresses[0], 8)
        self.lab.both("sleep 1; systemctl kill -s KILL tbibd")
        for host in demo.HOSTS:
            self.lab.until(host, "the unit to start again", "systemctl is-active -q tbibd", 20)
        traffic.finish()

    def stop(self):
        """The fabric stays without its daemon; the module goes and comes with the unit."""
        self.lab.both("systemctl stop tbibd")
        self.lab.run(1, f"ping -q -c 3 -i 0.2 {self.addresses[0]}")
        self.lab.both("modprobe -r tbib && ! [ -e /sys/class/infiniband/tbib0 ]")
        self.lab.both("systemctl start tbibd")
        expect(demo.fabric_up(self.lab) == self.addresses, "other addresses than before")

    def remove(self):
        self.lab.both("dpkg --purge tbib tbib-dkms", timeout=300)
        left = self.lab.both("ls -d /etc/tbib /usr/src/tbib-* /sys/class/infiniband/tbib0 "
                             "2>/dev/null || true")
        expect(not "".join(left).replace("/sys/class/infiniband/tbib0", "").strip(),
               f"left behind: {left}")

    def complaints(self):
        for text in self.lab.both("dmesg | grep -E 'WARNING:|BUG:|Oops|Call Trace' || true"):
            expect(not text.strip(), text)


def main():
    passed = failed = 0
    with tempfile.NamedTemporaryFile("w+", prefix="tbib-packages.", suffix=".log") as log:
        folder = demo.build_packages(KERNEL, log)
        lab = demo.Lab(log)
        with contextlib.suppress(demo.DemoError):
            lab.tblab("down")
        lab.tblab("up", "--hosts", "2", "--boot", "systemd", "--unplugged", "--memory", "1024",
                  "--kernel", KERNEL, "--extra", folder)
        try:
            cases = Packages(lab)
            for case in (cases.install, cases.enable, cases.restart, cases.kill, cases.stop,
                         cases.remove, cases.complaints):
                try:
                    case()
                    passed += 1
                    print(f"packages: {case.__name__}: ok", flush=True)
                except (demo.DemoError, Failed) as error:
                    failed += 1
                    detail = getattr(error, "detail", "")
                    print(f"packages: {case.__name__}: FAILED: {error}\n{detail}", flush=True)
                    for text in lab.both("journalctl -b --no-pager | tail -n 60; rdma link; ip -br a"):
                        print(re.sub("^", "    ", text, flags=re.MULTILINE))
        finally:
            lab.tblab("down")
    total = passed + failed
    print(f"  {passed} test cases out of {total} passed")
    if failed:
        print(f"  {failed} test cases out of {total} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    demo.LAB_NAME = "packages"
    if len(sys.argv) > 1:
        demo.TBLAB = sys.argv[1]
    sys.exit(main())
