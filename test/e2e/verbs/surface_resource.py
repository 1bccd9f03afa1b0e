# SPDX-License-Identifier: Apache-2.0
"""What a program holds, as 'rdma resource' shows it."""

from surface_common import (DEVICE, IDLE_PORT, Wrong, expect, own_address, program, rdma, sh, until)

KINDS = ("qp", "cq", "mr", "pd", "ctx", "cm_id", "srq")


def owned(kind, pid, device=DEVICE):
    where = f"link {device}/1" if kind in ("qp", "cm_id") else f"dev {device}"
    return [row for row in rdma(f"resource show {kind} {where}", "-dd") if row.get("pid") == pid]


def holds(command, kinds, look=lambda found: None):
    """The program's objects are there, with its id and name, while it runs; nothing afterwards."""
    name = command.split()[0]
    with program(command) as running:
        until(f"objects of {name}", lambda: all(owned(kind, running.pid) for kind in kinds))
        found = {kind: owned(kind, running.pid) for kind in KINDS}
        for kind in kinds:
            expect(found[kind][0]["comm"], name[:15], f"comm of its {kind}")
            # what -dd shows is text as well
            if f"pid {running.pid} " not in sh(f"rdma -dd resource show {kind}"):
                raise Wrong(f"'rdma -dd resource show {kind}' does not have the process")
        look(found)
        pid = running.pid
    until("its objects to go", lambda: not any(owned(kind, pid) for kind in KINDS))
    return ", ".join(f"{len(rows)} {kind}" for kind, rows in found.items() if rows)


def rc_resources(_):
    def look(found):
        qp, mr = found["qp"][0], found["mr"][0]
        expect(qp["type"], "RC", "type")
        expect(qp["state"], "INIT", "state")
        expect(mr["mrlen"], 4096, "mrlen")
        expect(qp["pdn"], found["pd"][0]["pdn"], "PD of the QP")
        expect(mr["pdn"], found["pd"][0]["pdn"], "PD of the MR")
        expect(found["cq"][0]["ctxn"], found["ctx"][0]["ctxn"], "context of the CQ")
        expect(len(rdma(f"resource show qp link {DEVICE}/1 lqpn {qp['lqpn']}")), 1,
               "QPs with that number")

    return holds(f"ibv_rc_pingpong -d {DEVICE} -p {IDLE_PORT}", ("qp", "cq", "mr", "pd", "ctx"),
                 look)


def srq_resources(_):
    return holds(f"ibv_srq_pingpong -d {DEVICE} -p {IDLE_PORT}", ("qp", "srq", "mr", "ctx"))


def cm_resources(_):
    address = own_address()

    def look(found):
        expect(found["cm_id"][0]["state"], "LISTEN", "state")
        expect(found["cm_id"][0]["src-addr"], f"{address}:{IDLE_PORT}", "src-addr")

    return holds(f"rping -s -a {address} -p {IDLE_PORT}", ("cm_id",), look)


CHECKS = (("resources of ibv_rc_pingpong", rc_resources),
          ("resources of ibv_srq_pingpong", srq_resources), ("resources of rping", cm_resources))
