# SPDX-License-Identifier: Apache-2.0
"""The programs of librdmacm and libibverbs, from the last of three hosts to the first."""

import time

from lab import RXE_ADDRESS, VerbsError, add_rxe, attempt, kernel_row, together
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
    # "%" is host 0's IPv6 address
    ("rping, IPv6", "rping -s -a % -v -C 20", "rping -c -a % -v -C 20"),
    ("ucmatose, IPv6", "ucmatose -b % -C 20", "ucmatose -s % -C 20"),
    ("rstream, IPv6", "rstream -b % -C 10", "rstream -s % -C 10"),
    ("udaddy, IPv6", "udaddy -b % -C 20", "udaddy -s % -C 20"),
)
SAMPLE = ("rping", "ucmatose", "udaddy", "rstream", "ibv_srq_pingpong")
# On one host, with the word that must be in what it prints.
ALONE = (
    ("ibv_devices", "ibv_devices", "tbib0"),
    ("ibv_devinfo -v", "ibv_devinfo -v -d tbib0", "PORT_ACTIVE"),
)
# What rxe cannot do either, which is tried in the same guest: name, command of each side.
# librdmacm's datagram sockets do not find their device by a RoCE address; rstream's asynchronous
# client ends with poll's POLLHUP if the server was first to close.
LIKE_RXE = (
    ("udpong", "timeout 8 udpong -b @ -C 20 -S 1000", "timeout 8 udpong -s @ -C 20 -S 1000"),
    ("rstream, asynchronous", "rstream -b @ -C 20 -S 65536 -T a",
     "rstream -s @ -C 20 -S 65536 -T a"),
)
# Neither rxe, whose user library ours is, nor tbib has XRC.
WITHOUT_XRC = ("ibv_xsrq_pingpong", "rdma_xclient -c x")
ADDRESSES_6 = "fd00:7462::"


def multicast(lab, size):
    """From host 0 to all hosts, itself included, which is more than one cable away."""
    def mckey(host, options):
        lab.run(host, f"timeout 30 mckey -m 239.7.7.7 -b {lab.address(host)} -C 50 -S {size}"
                + options, timeout=50)

    def send():
        # what is sent before a receiver has joined is lost, and it then waits for ever
        for host in range(lab.hosts):
            lab.until(host, "its receiver to join", "rdma resource show qp link tbib0/1 | "
                      "grep -q mckey", 20)
        time.sleep(2)
        mckey(0, " -s")

    together(*(lambda host=host: mckey(host, "") for host in range(lab.hosts)), send)


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


def like_rxe(lab, table):
    """Passed if it runs; skipped if it does not run on rxe either."""
    add_rxe(lab, 0)
    for name, server, client in LIKE_RXE:
        def on(address, server=server, client=client):
            lab.run(0, f"({server}) >/run/server 2>&1 & sleep 1; {client}; code=$?; wait; "
                       "cat /run/server; exit $code".replace("@", address))

        try:
            on(lab.address(0))
            table.row(name, ok=1)
            continue
        except VerbsError as error:
            ours = error
        try:
            on(RXE_ADDRESS)
            table.row(f"{name}, which rxe runs", fail=1,
                      below=[str(ours), *ours.detail.splitlines()[-6:]])
        except VerbsError:
            table.row(name, skip=1, note="rxe does not run it either")


def give_ipv6(lab):
    for host in range(lab.hosts):
        lab.run(host, f"ip -6 address add {ADDRESSES_6}{host + 1}/64 dev tbib0 nodad")
    lab.until(lab.hosts - 1, "a ping over IPv6", f"ping -6 -q -c 1 -W 1 {ADDRESSES_6}1", 30)


def suite(lab, table, options):
    print(f"connection manager and pingpong programs, {lab.hosts} hosts in a chain")
    if not options.sample:
        give_ipv6(lab)
    cases = [case(name, *(text.replace("%", ADDRESSES_6 + "1") for text in commands))
             for name, *commands in PAIRS if not options.sample or name in SAMPLE]
    for result in run_pairs(lab, cases, client=lab.hosts - 1):
        bad = why_failed(result)
        table.row(result["name"], ok=0 if bad else 1, fail=1 if bad else 0,
                  below=failure_lines(result) if bad else ())
    for size in (1000,) if options.sample else (1000, 4000):
        attempt(table, f"mckey, {size} bytes", lambda size=size: multicast(lab, size))
    if not options.sample:
        for name, command, word in ALONE:
            attempt(table, name, lambda command=command, word=word: alone(lab, command, word))
        attempt(table, "ibv_asyncwatch, cable out and in", lambda: watched_replug(lab))
        like_rxe(lab, table)
        table.row("programs of XRC", skip=len(WITHOUT_XRC), note="rxe has no XRC either")
    kernel_row(lab, table)
