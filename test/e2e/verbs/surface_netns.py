# SPDX-License-Identifier: Apache-2.0
"""tbib0 and what is on top of it in network namespaces."""

import contextlib
import errno
import sys

from surface_common import (DEVICE, SAID, UPPERS, Upper, Wrong, add_upper, attempt, expect, gid_index,
                            own_address, pingpong, program, rdma, read, rping, sh, until)

NETNS = "tbib-test"
INSIDE = f"ip netns exec {NETNS}"


@contextlib.contextmanager
def namespace():
    sh(f"ip netns add {NETNS} && ip -n {NETNS} link set lo up")
    try:
        yield
    finally:
        sh(f"ip netns delete {NETNS}")


@contextlib.contextmanager
def moved_network_device():
    """tbib0, the network device, in the namespace with its own address."""
    address = own_address()
    sh(f"ip link set {DEVICE} netns {NETNS}")
    sh(f"ip -n {NETNS} address add {address}/24 dev {DEVICE}")
    sh(f"ip -n {NETNS} link set {DEVICE} up")
    yield address


def network_comes_back():
    """It is in the first namespace again, and the daemon has given it its addresses."""
    until("the network device", lambda: attempt(f"ip link show {DEVICE}")[0] == 0)
    until("its address", lambda: "inet " in sh(f"ip -4 address show {DEVICE}"))


def uppers_elsewhere(_):
    for upper in UPPERS:
        with namespace():
            add_upper(upper, upper.ours, NETNS)
            pingpong(upper.theirs, upper.ours, upper.port, INSIDE)
            rping(upper.theirs, INSIDE)
    return "VLAN, ipvlan: queue pairs and rdma_cm"


def macvlan(_):
    """Its MAC is no host's: connecting to its GID fails at once, instead of never being answered."""
    import surface_errors  # pylint: disable=import-outside-toplevel

    address = "10.99.6.2"
    add_upper(Upper("macv0", "macvlan mode bridge", "", address, 0), address)
    try:
        code = surface_errors.refused(DEVICE, gid_index(address))
    finally:
        sh("ip link delete macv0")
    expect(code, errno.ENETUNREACH, "errno")
    return "refused"


def network_device_elsewhere(peer):
    with namespace():
        with moved_network_device() as address:
            pingpong(peer, address, inside=INSIDE)
            rping(peer, INSIDE)
            expect(rdma(f"link show {DEVICE}/1")[0].get("netdev"), None, "netdev, seen from here,")
    network_comes_back()
    pingpong(peer, own_address())


def seen(inside=""):
    listed = DEVICE in sh(f"{inside} rdma dev")
    expect(DEVICE in sh(f"{inside} ibv_devices"), listed, "whether ibv_devices lists it")
    return listed


def nothing_flushed():
    """Only where the device is about to go are a destroyed queue pair's requests flushed."""
    import surface_errors  # pylint: disable=import-outside-toplevel

    pair = surface_errors.Pair(DEVICE, gid_index(own_address()), receives=3)
    pair.far.close()
    expect(pair.far_cq.poll(1)[0], 0, "completions of a queue pair that was destroyed")
    pair.close()


def rdma_device_elsewhere(peer):
    sh("rdma system set netns exclusive")
    try:
        with namespace():
            expect(seen(INSIDE), False, "whether the namespace sees the device")
            with program(f"stdbuf -oL ibv_asyncwatch -d {DEVICE}"):
                until("ibv_asyncwatch to have it open", lambda: "FD" in read(SAID))
                sh(f"rdma dev set {DEVICE} netns {NETNS}")
                until("whoever has it open to hear that it went",
                      lambda: "DEVICE_FATAL" in read(SAID))
            expect((seen(), seen(INSIDE)), (False, True), "whether the device is here, there,")
            if attempt(f"ibv_devinfo -d {DEVICE}")[0] == 0:
                raise Wrong("it can be opened from outside")
            with moved_network_device() as address:
                # sysfs has another view inside
                script = (f"import surface_common as s; s.pingpong('{peer}', '{address}'); "
                          f"s.rping('{peer}')")
                sh(f"{INSIDE} python3 -B -c \"import sys; sys.path.insert(0, "
                   f"'{sys.path[0]}'); {script}\"", 60)
        until("the RDMA device", seen)
    finally:
        sh("rdma system set netns shared")
    network_comes_back()
    nothing_flushed()
    pingpong(peer, own_address())


UPPER_CHECKS = (("upper devices in a namespace", uppers_elsewhere),
                ("queue pair over macvlan", macvlan))
CHECKS = (("network device in a namespace", network_device_elsewhere),
          ("RDMA device in a namespace", rdma_device_elsewhere))
