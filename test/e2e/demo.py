#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The demo: two virtual hosts, one Thunderbolt cable, real packages, real numbers."""

import argparse
import concurrent.futures
import contextlib
import hashlib
import os
import re
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CACHE = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "tbib")
TBLAB = os.path.join(ROOT, "bazel-bin/test/lab/cli/tblab")
LAB_NAME = "demo"
HOSTS = (0, 1)
STOCK_ADDRESSES = ("10.87.0.1", "10.87.0.2")
PERFTEST_PORT = 18515


class DemoError(Exception):
    """Says in one line what did not work; detail is what the program at fault printed."""

    def __init__(self, text, detail=""):
        super().__init__(text)
        self.detail = detail


class Progress:
    """One line per step, with the time since the start."""

    def __init__(self, steps):
        self.started = time.monotonic()
        self.steps = steps
        self.step = 0

    def elapsed(self):
        minutes, seconds = divmod(int(time.monotonic() - self.started), 60)
        return f"{minutes:2}:{seconds:02}"

    def next(self, text):
        self.step += 1
        print(f"\n[{self.elapsed()}] {self.step}/{self.steps} {text}", flush=True)

    @staticmethod
    def show(command, output):
        print(f"      $ {command}")
        for line in output.strip().splitlines():
            print(f"        {line.rstrip()}")
        sys.stdout.flush()


def call(command, log, timeout=3600):
    """Runs a program on this machine; its output goes to the log, and out if it fails."""
    done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace",
                          timeout=timeout, check=False)
    log.write(f"$ {' '.join(command)}\n{done.stdout}\n")
    log.flush()
    if done.returncode != 0:
        raise DemoError(f"{command[0]} failed", done.stdout)
    return done.stdout


class Lab:
    """The two hosts, through the tblab command that a person would use too."""

    def __init__(self, log):
        self.log = log

    def tblab(self, *arguments, timeout=600):
        return call([TBLAB, "--name", LAB_NAME, *arguments], self.log, timeout)

    def run(self, host, command, timeout=120):
        try:
            return self.tblab("run", "--timeout", str(timeout), str(host), command,
                              timeout=timeout + 30)
        except DemoError as error:
            raise DemoError(f"host {host}: {command}", error.detail) from None

    def both(self, command, timeout=120):
        """The same on both hosts at the same time."""
        with concurrent.futures.ThreadPoolExecutor() as pool:
            return list(pool.map(lambda host: self.run(host, command, timeout), HOSTS))

    def until(self, host, what, command, seconds):
        """Waits in the guest until a command succeeds there."""
        loop = (f"for i in $(seq {seconds * 5}); do {command} && exit; sleep 0.2; done; "
                f"echo 'waited {seconds} s for: {what}'; exit 1")
        return self.run(host, loop, seconds * 3 + 30)

    def pair(self, server, client, timeout=180):
        """Starts the server's side, waits for its socket, runs the client; client's output."""
        with concurrent.futures.ThreadPoolExecutor() as pool:
            serving = pool.submit(self.run, 0, server.command, timeout)
            try:
                if server.port:
                    self.until(0, f"port {server.port}",
                               f"ss -Hltn 'sport = :{server.port}' | grep -q .", 20)
                output = self.run(1, client, timeout)
            except DemoError:
                with contextlib.suppress(DemoError):
                    self.run(0, f"pkill -x {server.command.split()[0][:15]}")
                raise
            serving.result()
            return output


class Server:
    def __init__(self, command, port=None):
        self.command = command
        self.port = port


class Network:
    """An RDMA device, its network device, and the two hosts' addresses on it."""

    def __init__(self, lab, device, addresses):
        self.lab = lab
        self.device = device
        self.addresses = addresses

    def perftest(self, tool, options):
        """Runs a perftest tool; the numbers of its last result line."""
        command = f"{tool} -F -d {self.device} -p {PERFTEST_PORT} {options}"
        output = self.lab.pair(Server(command, PERFTEST_PORT), f"{command} {self.addresses[0]}")
        rows = [line.split() for line in output.splitlines()
                if re.match(r"^\s*\d+\s+\d+\s+[\d.]+\s+[\d.]+", line)]
        if not rows:
            raise DemoError(f"{tool} printed no result", output)
        return [float(field) for field in rows[-1]]

    def bandwidth(self, size, count):
        """Gb/s of RDMA WRITE."""
        return self.perftest("ib_write_bw", f"-s {size} -n {count} --report_gbits")[3]

    def latency(self, events):
        """Typical microseconds of a 64-byte SEND, one way."""
        return self.perftest("ib_send_lat", "-s 64 -n 500" + (" -e" if events else ""))[4]

    def tcp(self, seconds=4):
        """Gb/s of one TCP stream."""
        output = self.lab.pair(Server("iperf3 -s -1 -p 5201", 5201),
                               f"iperf3 -c {self.addresses[0]} -t {seconds} -f m")
        found = re.findall(r"([\d.]+) Mbits/sec\s+receiver", output)
        if not found:
            raise DemoError("iperf3 printed no result", output)
        return float(found[-1]) / 1000

    def ping(self):
        """Average milliseconds of a round trip."""
        output = self.lab.run(1, f"ping -q -c 20 -i 0.05 {self.addresses[0]}")
        return float(re.search(r"= [\d.]+/([\d.]+)/", output).group(1))

    def measure(self, rdma=True):
        results = {"TCP stream (iperf3)": f"{self.tcp():.2f} Gb/s",
                   "ping, average": f"{self.ping():.2f} ms"}
        if rdma:
            results.update({
                "ib_write_bw 64 KiB": f"{self.bandwidth(65536, 1000):.2f} Gb/s",
                "ib_write_bw 1 MiB": f"{self.bandwidth(1 << 20, 100):.2f} Gb/s",
                "ib_send_lat 64 B": f"{self.latency(False):.0f} µs",
                "ib_send_lat 64 B, events": f"{self.latency(True):.0f} µs",
            })
        return results


def source_hash(paths):
    """A name for the state of some folders of the work tree, edits included."""
    files = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard",
                            "--", *paths], cwd=ROOT, check=False, stdout=subprocess.PIPE)
    names = sorted(set(files.stdout.split(b"\0")) - {b""})
    digest = hashlib.sha256()
    for name in names:
        path = os.path.join(ROOT, os.fsdecode(name))
        if os.path.isfile(path):
            with open(path, "rb") as stream:
                digest.update(name + b"\0" + hashlib.sha256(stream.read()).digest())
    return digest.hexdigest()[:16] if names else f"unknown-{os.getpid()}"


# Compiling the module takes a real machine seconds and an emulated one minutes. DKMS can
# carry a built module from one machine to another of the same kernel: its tarball, which
# the package's own postinst looks for in /usr/share/tbib-dkms.
PREBUILD = r"""
set -eu
release=$(basename /usr/lib/modules/"$1".*)
version=$2
dpkg-deb -x ./tbib-dkms_*.deb /
dkms build -m tbib -v "$version" -k "$release"
dkms mktarball -m tbib -v "$version" -k "$release" --binaries-only --archive prebuilt.tar.gz
cp "/var/lib/dkms/tbib/$version/tarball/prebuilt.tar.gz" "tbib-$version.dkms.tar.gz"
"""

# DKMS builds for every kernel that has headers; here only the running one counts.
INSTALL = r"""
set -e
for build in /usr/lib/modules/*/build; do
    [ "$build" = "/usr/lib/modules/$(uname -r)/build" ] || rm "$build"
done
mkdir -p /usr/share/tbib-dkms
cp /opt/tbib/*.dkms.tar.gz /usr/share/tbib-dkms/
export DEBIAN_FRONTEND=noninteractive
dpkg -i /opt/tbib/tbib_*.deb /opt/tbib/tbib-dkms_*.deb
"""


def build_packages(kernel, log):
    """The folder with the packages for the guests; built again only if the source changed."""
    state = source_hash(["module", "userspace", "packaging", "systemd", "docs/man", "dkms.conf",
                         "test/lab/image"])
    folder = os.path.join(CACHE, "demo", f"{state}-{kernel}")
    if not os.path.exists(os.path.join(folder, "complete")):
        os.makedirs(folder, exist_ok=True)
        packages = call(["packaging/build-deb", "--in-lab", folder], log)
        version = re.search(r"/tbib-dkms_([^_]+)_", packages).group(1)
        with open(os.path.join(folder, "prebuild"), "w", encoding="utf-8") as stream:
            stream.write(PREBUILD)
        call(["test/lab/image/enter", folder, "--", "sh", "prebuild", kernel, version], log)
        with open(os.path.join(folder, "complete"), "w", encoding="utf-8"):
            pass
    return folder


def fabric_up(lab):
    """Waits for the fabric; the two hosts' addresses on it."""
    for host in HOSTS:
        lab.until(host, "tbib0 ACTIVE",
                  "rdma link show tbib0/1 2>/dev/null | grep -q 'state ACTIVE'", 60)
        lab.until(host, "an address of tbib0",
                  "ip -o -4 addr show dev tbib0 | grep -q inet", 20)
    addresses = [re.search(r"inet ([\d.]+)/", text).group(1)
                 for text in lab.both("ip -o -4 addr show dev tbib0")]
    lab.until(1, "a ping over tbib0", f"ping -q -c 1 -W 1 {addresses[0]} >/dev/null", 30)
    return addresses


def show(lab, command, host=1, timeout=120):
    Progress.show(command, lab.run(host, command, timeout))


def try_programs(lab, addresses):
    """What a person types first, with the programs of the distribution."""
    show(lab, f"ping -c 3 {addresses[0]}")
    # The GID that stands for the IPv4 address, of type RoCE v2.
    find = (r"cd /sys/class/infiniband/tbib0/ports/1; for i in gids/*; do n=${i#gids/}; "
            r"case $(cat $i) in 0000:0000:0000:0000:0000:ffff:*) "
            r"grep -q v2 gid_attrs/types/$n && echo $n;; esac; done | head -n 1")
    gids = [text.strip() for text in lab.both(find)]
    output = lab.pair(Server(f"ibv_rc_pingpong -d tbib0 -g {gids[0]}", PERFTEST_PORT),
                      f"ibv_rc_pingpong -d tbib0 -g {gids[1]} {addresses[0]}")
    Progress.show(f"ibv_rc_pingpong -d tbib0 -g {gids[1]} {addresses[0]}", output)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        serving = pool.submit(lab.run, 0, f"timeout 60 rping -s -a {addresses[0]} -C 10")
        # rdma_cm's listeners are in no list of sockets: the client tries again.
        client = f"rping -c -a {addresses[0]} -C 10 -v"
        output = lab.run(1, f"for i in $(seq 20); do timeout 30 {client} && exit; sleep 0.3; done;"
                            " exit 1")
        serving.result()
    echoed = [line for line in output.splitlines() if line.startswith("ping data:")]
    if len(echoed) < 10:
        raise DemoError(f"rping brought {len(echoed)} of 10 messages back", output)
    Progress.show(client, f"{echoed[-1][:60]}...\n{len(echoed)} messages echoed")


def stock_network(lab):
    """Takes tbib away and sets up what stock kernels have on the same cable."""
    lab.both("systemctl stop tbibd && modprobe -r tbib")
    lab.both("modprobe thunderbolt_net")
    for host in HOSTS:
        lab.until(host, "thunderbolt0", "[ -d /sys/class/net/thunderbolt0 ]", 60)
        lab.run(host, "ip link set thunderbolt0 mtu 65520 up && "
                      f"ip addr add {STOCK_ADDRESSES[host]}/24 dev thunderbolt0")
    lab.until(1, "a ping over thunderbolt0",
              f"ping -q -c 1 -W 1 {STOCK_ADDRESSES[0]} >/dev/null", 60)
    lab.both("modprobe rdma_rxe && rdma link add rxe0 type rxe netdev thunderbolt0")
    for host in HOSTS:
        lab.until(host, "rxe0 active", "rdma link show rxe0/1 | grep -q 'state ACTIVE'", 20)
    return Network(lab, "rxe0", STOCK_ADDRESSES)


def back_to_tbib(lab):
    lab.both("rdma link delete rxe0; modprobe -r rdma_rxe; modprobe -r thunderbolt_net; "
             "systemctl start tbibd")
    fabric_up(lab)


def print_summary(ours, stock):
    titles = ("", "tbib", "stock kernel")
    notes = {"ib_write_bw 64 KiB": "rxe", "ib_write_bw 1 MiB": "rxe", "ib_send_lat 64 B": "rxe",
             "ib_send_lat 64 B, events": "rxe"}
    print(f"\n  {titles[0]:28}{titles[1]:>14}{titles[2]:>16}")
    for name, value in ours.items():
        note = notes.get(name, "thunderbolt_net")
        print(f"  {name:28}{value:>14}{stock.get(name, '-'):>16}   {note}")
    print("\n  Stock: thunderbolt_net with MTU 65520, and rxe over it. The same two emulated\n"
          "  machines and the same cable: only the ratios mean anything.")


def demo(options, log):
    progress = Progress(10 if options.no_stock else 11)
    progress.next("Packages of this machine and the lab's Debian image")
    call(["test/setup"], log)

    progress.next("Building the lab and tbib's Debian packages")
    call(["bazel", "build", "//test/lab/cli:tblab"], log)
    folder = build_packages(options.kernel, log)
    for name in sorted(os.listdir(folder)):
        if re.match(r"tbib(-dkms)?_.*\.deb$", name):
            print(f"      {name}")

    lab = Lab(log)
    progress.next("Booting two hosts with systemd, cable out")
    with contextlib.suppress(DemoError):
        lab.tblab("down")
    lab.tblab("up", "--hosts", "2", "--boot", "systemd", "--unplugged", "--memory", "1024",
              "--kernel", options.kernel, "--preset", options.preset, "--extra", folder)
    try:
        results = on_hosts(lab, progress, options)
    except BaseException:
        with contextlib.suppress(DemoError):
            for host in HOSTS:
                log.write(f"host {host}:\n")
                lab.run(host, "journalctl -b --no-pager | tail -n 100; rdma link; ip -br addr")
        if not options.keep:
            with contextlib.suppress(DemoError):
                lab.tblab("down")
        raise
    progress.next("Done" if options.keep else "Switching the hosts off")
    if not options.keep:
        lab.tblab("down")
    print_summary(*results)
    if options.keep:
        tblab = f"{os.path.relpath(TBLAB)} --name {LAB_NAME}"
        print(f"\n  The hosts are running:\n"
              f"    {tblab} shell 0      a root shell (Ctrl-] leaves); 1 for the other host\n"
              f"    {tblab} unplug 0     pulls the cable; plug 0 puts it back\n"
              f"    {tblab} down         ends it")


def on_hosts(lab, progress, options):
    show(lab, "uname -r")
    progress.next("Installing the packages in both")
    outputs = lab.both(INSTALL, timeout=600)
    Progress.show("dpkg -i tbib_*.deb tbib-dkms_*.deb",
                  "\n".join(line for line in outputs[1].splitlines()
                            if re.match(r"Setting up|tbib:|Installing", line)))

    progress.next("Starting the daemon")
    lab.both("systemctl enable --now tbibd")
    show(lab, "systemctl is-active tbibd; rdma link show")

    progress.next("Plugging the cable")
    lab.tblab("plug", "0")
    started = time.monotonic()
    addresses = fabric_up(lab)
    print(f"      fabric up {time.monotonic() - started:.1f} s after the plug")
    show(lab, "rdma link show")

    progress.next("What tbib says")
    show(lab, "tbibctl status")

    progress.next("The distribution's own programs")
    try_programs(lab, addresses)

    progress.next("Measuring tbib")
    ours = Network(lab, "tbib0", addresses).measure()
    for name, value in ours.items():
        print(f"      {name}: {value}")
    stock = {}
    if not options.no_stock:
        progress.next("Measuring what stock kernels have: thunderbolt_net, and rxe over it")
        stock = stock_network(lab).measure()
        for name, value in stock.items():
            print(f"      {name}: {value}")
        if options.keep:
            back_to_tbib(lab)
    return ours, stock


def main():
    parser = argparse.ArgumentParser(prog="test/demo", description=__doc__)
    parser.add_argument("--keep", action="store_true",
                        help="leave the hosts running and say how to enter them")
    parser.add_argument("--kernel", choices=("6.12", "7.3"), default="6.12",
                        help="kernel of the hosts: Debian 13's (6.12) or its newest backport")
    parser.add_argument("--preset", choices=("intel", "strix"), default="intel",
                        help="their host routers: 12 ring pairs (intel) or 3 (strix)")
    parser.add_argument("--no-stock", action="store_true",
                        help="leave out the comparison with thunderbolt_net and rxe")
    options = parser.parse_args()
    os.makedirs(os.path.join(CACHE, "demo"), exist_ok=True)
    path = os.path.join(CACHE, "demo", "log")
    with open(path, "w", encoding="utf-8") as log:
        try:
            demo(options, log)
        except (DemoError, subprocess.TimeoutExpired) as error:
            tail = getattr(error, "detail", "").strip().splitlines()[-25:]
            print("\n".join(["", *(f"      {line}" for line in tail)]))
            print(f"demo: {error}\ndemo: everything that was said is in {path}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
