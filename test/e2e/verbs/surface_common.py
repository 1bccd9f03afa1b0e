# SPDX-License-Identifier: Apache-2.0
"""What the checks of surface_guest.py share: commands, programs that run meanwhile, traffic to the other end."""

import collections
import contextlib
import json
import os
import re
import subprocess
import time

DEVICE = "tbib0"
PORT = f"/sys/class/infiniband/{DEVICE}/ports/1"
# Network devices on top of tbib0 with its MAC: name, what ip says of the type, addresses of PEER
# and of this end, the port of PEER's ibv_rc_pingpong.
Upper = collections.namedtuple("Upper", "name kind theirs ours port")
UPPERS = (Upper("vlan5", "vlan id 5", "10.99.5.1", "10.99.5.2", 18605),
          Upper("ipv0", "ipvlan mode l2", "10.99.7.1", "10.99.7.2", 18607))
PINGPONG_PORT = 18601
IDLE_PORT = 18609
RXE_ADDRESS = "10.99.8.1"
SAID = "/run/surface.program"
# an emulated processor that checks every access is so many times slower
SLOW = int(os.environ.get("SLOW", "1"))


class Wrong(Exception):
    """Says in one line what is not as it should be; more lines may follow."""


def sh(command, seconds=20):
    """Output of a command that must succeed."""
    code, output = attempt(command, seconds)
    if code:
        raise Wrong(f"'{command}' ended with {code}\n{output}")
    return output


def attempt(command, seconds=20):
    done = subprocess.run(["timeout", "-k", "1", str(seconds * SLOW), "sh", "-c", command],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace", check=False)
    return done.returncode, done.stdout


def until(what, condition, seconds=10):
    end = time.monotonic() + seconds * SLOW
    while not condition():
        if time.monotonic() > end:
            raise Wrong(f"waited {seconds} s for {what}")
        time.sleep(0.05)


def expect(value, wanted, what):
    if value != wanted:
        raise Wrong(f"{what} is {value!r}, not {wanted!r}")


def read(path):
    with open(path, encoding="ascii") as stream:
        return stream.read().strip()


def rdma(words, flags=""):
    return json.loads(sh(f"rdma -j {flags} {words}") or "[]")


@contextlib.contextmanager
def program(command):
    """A program that runs meanwhile; what it says is in SAID."""
    with open(SAID, "w", encoding="ascii") as said:
        running = subprocess.Popen(command.split(), stdin=subprocess.DEVNULL, stdout=said,
                                   stderr=subprocess.STDOUT)
    try:
        yield running
    finally:
        running.kill()
        running.wait()


@contextlib.contextmanager
def rxe():
    """For comparing: the device rxesurface, on a network device that leads nowhere."""
    sh("modprobe -a dummy rdma_rxe && ip link add surface0 type dummy && ip link set surface0 up && "
       f"ip address add {RXE_ADDRESS}/24 dev surface0")
    sh("rdma link add rxesurface type rxe netdev surface0")
    try:
        yield "rxesurface"
    finally:
        sh("rdma link delete rxesurface; ip link delete surface0")


def gid_index(address, device=DEVICE):
    """The index of an IPv4 address' GID, which comes a moment after the address."""
    gid = "0000:0000:0000:0000:0000:ffff:" + "{:02x}{:02x}:{:02x}{:02x}".format(
        *map(int, address.split(".")))
    found = []

    def look():
        for index in range(32):
            with contextlib.suppress(OSError):
                if read(f"/sys/class/infiniband/{device}/ports/1/gids/{index}") == gid:
                    found.append(index)
                    return True
        return False

    until(f"a GID of {address}", look)
    return found[0]


def own_address():
    found = re.search(r"inet ([\d.]+)/", sh(f"ip -4 address show {DEVICE}"))
    if not found:
        raise Wrong(f"{DEVICE} has no IPv4 address")
    return found.group(1)


def add_upper(upper, address, netns=""):
    """In a namespace, if one is given."""
    sh(f"ip link add link {DEVICE} name {upper.name} type {upper.kind}")
    if netns:
        sh(f"ip link set {upper.name} netns {netns}")
    there = f"ip -n {netns}" if netns else "ip"
    sh(f"{there} address add {address}/24 dev {upper.name} && {there} link set {upper.name} up")


def pingpong(peer, address, port=PINGPONG_PORT, inside=""):
    """100 messages of 4 KiB each way, from the GID of an address of ours."""
    command = (f"{inside} ibv_rc_pingpong -d {DEVICE} -g {gid_index(address)} -p {port} -n 100 "
               f"{peer}")
    # the server may just be between two clients
    for _ in range(8):
        code, output = attempt(command, 15)
        if "Couldn't connect" not in output:
            break
        time.sleep(0.25)
    if code:
        raise Wrong(f"'{command}' ended with {code}\n{output}")


def rping(peer, inside=""):
    output = sh(f"{inside} rping -c -a {peer} -C 5 -v", 15)
    expect(output.count("ping data: rdma-ping-"), 5, "rping's answers")
