# SPDX-License-Identifier: Apache-2.0
"""The programs of librdmacm and libibverbs, from the last of three hosts to the first."""

import re
import time

from lab import RXE_ADDRESS, Lab, VerbsError, add_rxe, attempt, kernel_row, together
from pairs import case, failure_lines, run_pairs, why_failed

HOSTS = 3

PINGPONG = "-d tbib0 -g 1 -c"
RCOPY_FILE = "seq 500000 | head -c 3000001"
# "@" is host 0's address
PAIRS = (
    ("rping", "rping -s -a @ -v -C 50", "rping -c -a @ -v -C 50"),
    ("rping, data validated", "rping -s -a @ -V -S 60000 -C 20", "rping -c -a @ -V -S 60000 -C 20"),
    ("ucmatose", "ucmatose -b @ -C 50 -S 65536", "ucmatose -s @ -C 50 -S 65536"),
    ("ucmatose, 100 connections", "ucmatose -b @ -c 100 -C 5", "ucmatose -s @ -c 100 -C 5"),
    ("udaddy", "udaddy -b @ -C 50 -S 2000", "udaddy -s @ -C 50 -S 2000"),
    ("rdma_client", "rdma_server", "rdma_client -s @"),
    ("rdma_xclient, RC", "rdma_xserver -c r", "rdma_xclient -s @ -c r"),
    ("rstream", "rstream -b @ -C 20", "rstream -s @ -C 20"),
    ("rstream, not blocking, verified", "rstream -b @ -C 20 -S 65536 -T n -T v",
     "rstream -s @ -C 20 -S 65536 -T n -T v"),
    ("rstream, blocking, verified", "rstream -b @ -C 20 -S 65536 -T b -T v",
     "rstream -s @ -C 20 -S 65536 -T b -T v"),
    ("riostream, verified", "riostream -b @ -C 20 -S 65536 -T v",
     "riostream -s @ -C 20 -S 65536 -T v"),
    # the server takes files for ever
    ("rcopy", f"timeout 6 rcopy; {RCOPY_FILE} | cmp - /run/copy",
     f"{RCOPY_FILE} >/run/file && rcopy /run/file @:/run/copy"),
    ("cmtime", "cmtime -b @ -c 50", "cmtime -s @ -c 50"),
    ("ibv_rc_pingpong", f"ibv_rc_pingpong {PINGPONG}", f"ibv_rc_pingpong {PINGPONG} @"),
    ("ibv_rc_pingpong, events", f"ibv_rc_pingpong {PINGPONG} -e",
     f"ibv_rc_pingpong {PINGPONG} -e @"),
    ("ibv_uc_pingpong", f"ibv_uc_pingpong {PINGPONG}", f"ibv_uc_pingpong {PINGPONG} @"),
    ("ibv_ud_pingpong", f"ibv_ud_pingpong {PINGPONG}", f"ibv_ud_pingpong {PINGPONG} @"),
    ("ibv_srq_pingpong", f"ibv_srq_pingpong {PINGPONG}", f"ibv_srq_pingpong {PINGPONG} @"),
)
RECEIVER = "/run/mckey"  # what mckey says on each host
# By an address of each kind; "%" is host 0's.
FAMILY_PAIRS = (
    ("rping", "rping -s -a % -V -S 5000 -C 20", "rping -c -a % -V -S 5000 -C 20"),
    ("ucmatose", "ucmatose -b % -C 20 -S 9000", "ucmatose -s % -C 20 -S 9000"),
    ("rstream", "rstream -b % -C 10 -S 65536 -T v", "rstream -s % -C 10 -S 65536 -T v"),
    ("udaddy", "udaddy -b % -C 20", "udaddy -s % -C 20"),
)
SAMPLE = ("rping", "ucmatose", "udaddy", "rstream", "ibv_srq_pingpong")
# On one host, with the word that must be in what it prints.
ALONE = (
    ("ibv_devices", "ibv_devices", "tbib0"),
    ("ibv_devinfo -v", "ibv_devinfo -v -d tbib0", "PORT_ACTIVE"),
)
# What rxe cannot do either, which is tried in the same guest: name, what both then say, command
# of each side.
# librdmacm's datagram sockets do not find their device by a RoCE address; rstream's asynchronous
# client ends with poll's POLLHUP if the server was first to close, which it is not once in a hundred
# runs on rxe and nine times in a hundred on tbib; the kernel's rdma_cm joins no group of IPv6 over
# RoCE v2 (cma_iboe_join_multicast(): ENOTSUPP).
LIKE_RXE = (
    ("udpong", "rconnect: No such file or directory", "timeout 8 udpong -b @ -C 20 -S 1000",
     "timeout 8 udpong -s @ -C 20 -S 1000"),
    # all has been transferred by then
    ("rstream, asynchronous", "custom    64k     20", "rstream -b @ -C 20 -S 65536 -T a",
     "rstream -s @ -C 20 -S 65536 -T a"),
    ("mckey, IPv6", "failure joining: Unknown error 524", "timeout 20 mckey -m ff0e::7:7 -b % -C 5",
     "sleep 2; timeout 20 mckey -m ff0e::7:7 -b % -C 5 -s"),
)
# Neither rxe, whose user library ours is, nor tbib has XRC.
WITHOUT_XRC = ("ibv_xsrq_pingpong", "rdma_xclient -c x")
RXE_RUNS = 5  # all of them have to go well for a program that rxe runs
RXE_ADDRESS_6 = "fd00:7464::1"
# What is given to each host, which adds its number, from 1 on, to these.
VLAN = "vlan6"
ADDRESSES_6 = "fd00:7462::"
VLAN_ADDRESSES = "10.99.6."
VLAN_ADDRESSES_6 = "fd00:7463::"
GIVE = f"""set -e
ip -6 address add {ADDRESSES_6}@/64 dev tbib0 nodad
ip link add link tbib0 name {VLAN} type vlan id 6
ip link set {VLAN} up
ip address add {VLAN_ADDRESSES}@/24 dev {VLAN}
ip -6 address add {VLAN_ADDRESSES_6}@/64 dev {VLAN} nodad"""


def give_addresses(lab):
    for host in range(lab.hosts):
        lab.run(host, GIVE.replace("@", str(host + 1)))
    for family, address in ((6, ADDRESSES_6), (4, VLAN_ADDRESSES), (6, VLAN_ADDRESSES_6)):
        lab.until(lab.hosts - 1, f"a ping of {address}1",
                  f"ping -{family} -q -c 1 -W 1 {address}1", 30)


def link_local(lab, host):
    text = lab.run(host, "ip -6 -br address show dev tbib0 scope link")
    return re.search(r"(fe80:[0-9a-f:]+)/", text).group(1) + "%tbib0"


def families(lab):
    """Kind of address: host 0's."""
    return {"IPv6": f"{ADDRESSES_6}1", "IPv6 link-local": link_local(lab, 0),
            "VLAN": f"{VLAN_ADDRESSES}1", "IPv6, VLAN": f"{VLAN_ADDRESSES_6}1"}


def multicast(lab, size, group="239.7.7.7", address=Lab.address):
    """From host 0 to all hosts, itself included, which is more than one cable away."""
    command = f"-m {group} -C 50 -S {size}"

    def receive(host):
        lab.run(host, f"timeout 60 stdbuf -oL mckey {command} -b {address(lab, host)} "
                      f">{RECEIVER} 2>&1; code=$?; cat {RECEIVER}; "
                      "[ $code = 0 ] || { echo \"ended with $code\"; exit 1; }", timeout=90)

    def send():
        # what is sent before a receiver has joined is lost, and it then waits for ever
        for host in range(lab.hosts):
            lab.until(host, "its receiver to join", f"grep -q 'joined dgid' {RECEIVER}", 40)
        lab.run(0, f"timeout 30 mckey {command} -b {address(lab, 0)} -s", timeout=50)

    lab.everywhere(f"rm -f {RECEIVER}; touch {RECEIVER}")
    together(*(lambda host=host: receive(host) for host in range(lab.hosts)), send)


def multicasts(lab, table, sample):
    for size in (1000,) if sample else (1000, 4000):
        attempt(table, f"mckey, {size} bytes", lambda size=size: multicast(lab, size))
    if sample:
        return
    attempt(table, "mckey, VLAN", lambda: multicast(
        lab, 1000, "239.7.7.8", lambda _, host: f"{VLAN_ADDRESSES}{host + 1}"))


def alone(lab, command, word):
    output = lab.run(0, command)
    if word not in output:
        raise VerbsError(f"'{command}' does not say {word}", output)


def watched_replug(lab):
    """ibv_asyncwatch hears of the cable that goes and comes back."""
    far = lab.hosts - 1
    lab.run(far, "(timeout 60 stdbuf -oL ibv_asyncwatch -d tbib0 >/run/watch 2>&1) >/dev/null &")
    time.sleep(1)
    # the last host has one cable, the last
    lab.tblab("unplug", str(far - 1))
    lab.until(far, "the port to go down", "rdma link show tbib0/1 | grep -q DOWN", 20)
    lab.tblab("plug", str(far - 1))
    lab.until_active()
    lab.run(far, "pkill ibv_asyncwatch || true")
    output = lab.run(far, "cat /run/watch")
    for event in ("IBV_EVENT_PORT_ERR", "IBV_EVENT_PORT_ACTIVE"):
        if event not in output:
            raise VerbsError(f"ibv_asyncwatch heard no {event}", output)


def failure(action, times):
    """What was wrong with the first of these that failed; None if all went well."""
    for _ in range(times):
        try:
            action()
        except VerbsError as error:
            return error
    return None


def like_rxe(lab, table):
    """Passed if it runs; skipped if it does not run on rxe either."""
    add_rxe(lab, 0)
    lab.run(0, f"ip -6 address add {RXE_ADDRESS_6}/64 dev rxenet nodad")
    for name, word, server, client in LIKE_RXE:
        def on(address, address_6, server=server, client=client):
            lab.run(0, f"({server}) >/run/server 2>&1 & sleep 1; {client}; code=$?; wait; "
                       "cat /run/server; exit $code".replace("@", address)
                    .replace("%", address_6))

        ours = failure(lambda on=on: on(lab.address(0), f"{ADDRESSES_6}1"), 1)
        if not ours:
            table.row(name, ok=1)
            continue
        rxes = failure(lambda on=on: on(RXE_ADDRESS, RXE_ADDRESS_6), RXE_RUNS)
        if rxes and word in ours.detail and word in rxes.detail:
            table.row(name, skip=1, note="rxe does not run it either")
        else:
            table.row(f"{name}, which rxe runs" if not rxes else name, fail=1,
                      below=[str(ours), *ours.detail.splitlines()[-6:],
                             *(["on rxe:", *rxes.detail.splitlines()[-6:]] if rxes else [])])


def cases(lab, sample):
    for name, server, client in PAIRS:
        if not sample or name in SAMPLE:
            yield case(name, server, client)
    if sample:
        return
    for family, address in families(lab).items():
        for name, *commands in FAMILY_PAIRS:
            yield case(f"{name}, {family}", *(text.replace("%", address) for text in commands))


def suite(lab, table, options):
    print(f"connection manager and pingpong programs, {lab.hosts} hosts in a chain")
    if not options.sample:
        give_addresses(lab)
    for result in run_pairs(lab, list(cases(lab, options.sample)), client=lab.hosts - 1):
        bad = why_failed(result)
        table.row(result["name"], ok=0 if bad else 1, fail=1 if bad else 0,
                  below=failure_lines(result) if bad else ())
    multicasts(lab, table, options.sample)
    if not options.sample:
        for name, command, word in ALONE:
            attempt(table, name, lambda command=command, word=word: alone(lab, command, word))
        attempt(table, "ibv_asyncwatch, cable out and in", lambda: watched_replug(lab))
        like_rxe(lab, table)
        table.row("programs of XRC", skip=len(WITHOUT_XRC), note="rxe has no XRC either")
    kernel_row(lab, table)
