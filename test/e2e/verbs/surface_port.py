# SPDX-License-Identifier: Apache-2.0
"""The port and its cable, as RDMA's tools show them."""

import contextlib
import json
import re

from surface_common import (DEVICE, PORT, SAID, Wrong, attempt, expect, gid_index, own_address, pingpong,
                            program, rdma, read, rping, rxe, sh, until)


def cable_mbps():
    """What the Thunderbolt core says of the peer's cable."""
    for name in sh("ls /sys/bus/thunderbolt/devices").split():
        folder = f"/sys/bus/thunderbolt/devices/{name}"
        with contextlib.suppress(FileNotFoundError):
            lane = float(read(f"{folder}/rx_speed").split()[0])
            return round(lane * 1000 * int(read(f"{folder}/rx_lanes")))
    raise Wrong("no device of the Thunderbolt bus has a speed")


def port_rate(_):
    mbps = cable_mbps()
    rate = read(f"{PORT}/rate")
    expect(float(rate.split()[0]) * 1000, mbps, f"rate '{rate}' in Mb/s")
    info = sh(f"ibv_devinfo -v -d {DEVICE}")
    lanes = int(re.search(r"active_width:\s+(\d+)X", info).group(1))
    lane = float(re.search(r"active_speed:\s+([\d.]+) Gbps", info).group(1))
    expect(lanes * lane * 1000, mbps, "width times speed of ibv_devinfo in Mb/s")
    expect(int(re.search(r"Speed: (\d+)Mb/s", sh(f"ethtool {DEVICE}")).group(1)), mbps,
           "speed of ethtool in Mb/s")
    return rate


def port_state(_):
    for name, value in (("state", "4: ACTIVE"), ("phys_state", "5: LinkUp"),
                        ("link_layer", "Ethernet")):
        expect(read(f"{PORT}/{name}"), value, name)
    info = sh(f"ibv_devinfo -v -d {DEVICE}")
    for text in ("PORT_ACTIVE (4)", "LINK_UP (5)", "active_mtu:\t\t4096", "RoCE v2"):
        if text not in info:
            raise Wrong(f"ibv_devinfo -v does not say '{text}'\n{info}")
    link = rdma(f"link show {DEVICE}/1")[0]
    for key, value in (("state", "ACTIVE"), ("physical_state", "LINK_UP"), ("netdev", "tbib0")):
        expect(link[key], value, f"{key} of rdma link")


def ibstat(_):
    folder = f"/sys/class/infiniband/{DEVICE}"
    rate = read(f"{PORT}/rate")
    shown = sh(f"ibstat {DEVICE}")
    facts = dict(re.findall(r"^\s*([\w ]+): (\S.*)$", shown, re.M))
    guid = "0x" + read(f"{folder}/node_guid").replace(":", "")
    for name, value in (("State", "Active"), ("Physical state", "LinkUp"),
                        ("Rate", rate.split()[0]), ("Link layer", "Ethernet"),
                        ("Number of ports", "1"), ("Node GUID", guid),
                        ("CA type", read(f"{folder}/hca_type")),
                        ("Hardware version", read(f"{folder}/hw_rev")),
                        ("Firmware version", read(f"{folder}/fw_ver"))):
        expect(facts.get(name), value, f"'{name}' of ibstat\n{shown}")
    shown = sh(f"ibstatus {DEVICE}")
    for text in ("4: ACTIVE", "5: LinkUp", rate, "Ethernet"):
        if text not in shown:
            raise Wrong(f"ibstatus does not say '{text}'\n{shown}")
    return facts["Rate"]


def identity(_):
    folder = f"/sys/class/infiniband/{DEVICE}"
    version = read("/sys/module/tbib/version")
    expect(read(f"{folder}/fw_ver"), version, "fw_ver")
    expect(read(f"{folder}/node_type"), "1: CA", "node_type")
    guid = read(f"{folder}/node_guid")
    expect(read(f"{folder}/sys_image_guid"), guid, "sys_image_guid")
    board = ":".join(read(f"{folder}/device/{name}").removeprefix("0x")
                     for name in ("vendor", "device"))
    info = dict(re.findall(r"(\w+):\s+(\S+)$", sh(f"ibv_devinfo -d {DEVICE}"), re.M))
    expect(info.get("board_id"), board, "board_id")
    expect(int(info["hw_ver"], 16), int(read(f"{folder}/device/revision"), 16), "hw_ver")
    device = rdma(f"dev show {DEVICE}")[0]
    expect(device["node_guid"], guid, "node_guid of rdma dev")
    expect(device["fw"], version, "fw of rdma dev")
    return f"{guid}, {version}, board {board}"


def node_description(_):
    path = f"/sys/class/infiniband/{DEVICE}/node_desc"
    old = read(path)
    for text in ("rack 7, shelf 2", "x" * 64, old):
        with open(path, "w", encoding="ascii") as stream:
            stream.write(text)
        # the core ends what it shows with a line feed, within the 64 bytes
        expect(read(path)[:63], text[:63], "node_desc")


def set_down(peer):
    """The RDMA port goes and comes with the network device, as rxe's does, and programs hear of it."""
    import surface_errors  # pylint: disable=import-outside-toplevel

    def downed():
        return int(read(f"{PORT}/hw_counters/link_downed"))

    def addresses():
        shown = json.loads(sh(f"ip -j address show {DEVICE}"))[0]["addr_info"]
        return sorted(one["local"] for one in shown)

    address, before, given = own_address(), downed(), addresses()
    with contextlib.closing(surface_errors.Pair(DEVICE, gid_index(address))) as pair, \
            program(f"stdbuf -oL ibv_asyncwatch -d {DEVICE}"):
        until("ibv_asyncwatch to have it open", lambda: "FD" in read(SAID))
        sh(f"ip link set {DEVICE} down")
        try:
            until("PORT_ERR", lambda: "PORT_ERR" in read(SAID))
            down = read(f"{PORT}/state"), read(f"{PORT}/phys_state")
            pair.send(surface_errors.RETRY_EXCEEDED)
        finally:
            sh(f"ip link set {DEVICE} up")
        until("PORT_ACTIVE", lambda: "PORT_ACTIVE" in read(SAID))
    expect((read(f"{PORT}/state"), read(f"{PORT}/phys_state")), ("4: ACTIVE", "5: LinkUp"), "state")
    with rxe() as other:
        sh("ip link set surface0 down")
        folder = f"/sys/class/infiniband/{other}/ports/1"
        until("rxe's port", lambda: read(f"{folder}/state") != "4: ACTIVE")
        expect(down, (read(f"{folder}/state"), read(f"{folder}/phys_state")), "state while down")
    until("link_downed to count it", lambda: downed() == before + 1)
    # those that went with it too
    until("its addresses", lambda: addresses() == given)
    pingpong(peer, address)
    rping(peer)
    return ", ".join(down)


def link_delete(peer):
    """Only links that were added by hand can be deleted by hand."""
    code, output = attempt(f"rdma link delete {DEVICE}")
    if code == 0:
        raise Wrong("it can be deleted")
    port_state(peer)
    pingpong(peer, own_address())
    return output.strip()


CHECKS = (("rate is the cable's", port_rate), ("state", port_state), ("ibstat", ibstat),
          ("identity", identity), ("node description", node_description),
          ("network device set down and up", set_down), ("rdma link delete", link_delete))
