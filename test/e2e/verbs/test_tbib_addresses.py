# SPDX-License-Identifier: Apache-2.0
"""GIDs of every kind, as connections, datagrams and multicast groups have them. Runs inside pyverbs' suite."""

import contextlib
import errno
import ipaddress
import subprocess
import time

from pyverbs import enums as e
from pyverbs.addr import AH, GID, AHAttr, GlobalRoute
from pyverbs.cq import CQ
from pyverbs.device import Context
from pyverbs.mr import MR
from pyverbs.pd import PD
from pyverbs.qp import QP, QPAttr, QPCap, QPInitAttr
from pyverbs.wr import SGE, RecvWR, SendWR
from tests.tbib_pair import SIZE, PairTest
from tests.tbib_uverbs import CMD_ATTACH_MCAST, CMD_DETACH_MCAST, multicast

GRH = 40
QKEY = 0x11111111
TO_A_GROUP = 0xffffff
OWN = "fd00:7462:9::1"
GROUP_6 = ipaddress.IPv6Address("ff0e::7462:1")
GROUP_4 = ipaddress.IPv6Address("::ffff:239.7.7.9")


class GroupError(Exception):
    pass


class Endpoint:
    """A UD queue pair, with a context of its own."""

    def __init__(self, device):
        self.ctx = Context(name=device)
        self.pd = PD(self.ctx)
        self.mr = MR(self.pd, SIZE, e.IBV_ACCESS_LOCAL_WRITE)
        self.cq = CQ(self.ctx, 32)
        cap = QPCap(max_send_wr=8, max_recv_wr=8)
        self.qp = QP(self.pd, QPInitAttr(qp_type=e.IBV_QPT_UD, scq=self.cq, rcq=self.cq, cap=cap))
        attr = QPAttr(port_num=1)
        attr.qkey = QKEY
        self.qp.to_rts(attr)
        self.groups = []

    def receive(self):
        self.qp.post_recv(RecvWR(num_sge=1, sg=[SGE(self.mr.buf, SIZE // 2, self.mr.lkey)]))

    def completion(self):
        end = time.monotonic() + 10
        while time.monotonic() < end:
            n, completions = self.cq.poll(1)
            if n:
                return completions[0]
        raise AssertionError("no completion")

    def send(self, ah, qpn, data):
        self.mr.write(data, len(data), SIZE // 2)
        wr = SendWR(opcode=e.IBV_WR_SEND, num_sge=1, sg=[SGE(self.mr.buf + SIZE // 2, len(data), self.mr.lkey)])
        wr.set_wr_ud(ah, qpn, QKEY)
        self.qp.post_send(wr)
        wc = self.completion()
        if (wc.opcode, wc.status) != (e.IBV_WC_SEND, e.IBV_WC_SUCCESS):
            raise AssertionError(f"{wc.opcode} completed with {wc.status}")

    def received(self):
        """The completion, the header and the data."""
        wc = self.completion()
        if (wc.opcode, wc.status) != (e.IBV_WC_RECV, e.IBV_WC_SUCCESS):
            raise AssertionError(f"{wc.opcode} completed with {wc.status}")
        return wc, self.mr.read(GRH, 0), self.mr.read(wc.byte_len - GRH, GRH)

    def group(self, command, mgid):
        """The queue pair is the only one of its context, so its handle is the only one that will do."""
        for handle in range(64):
            with contextlib.suppress(OSError):
                multicast(self.ctx, command, handle, mgid.packed)
                return
        raise GroupError("neither handle will do")

    def join(self, mgid):
        self.group(CMD_ATTACH_MCAST, mgid)
        self.groups.append(mgid)

    def leave(self, mgid):
        self.group(CMD_DETACH_MCAST, mgid)
        self.groups.remove(mgid)

    def close(self):
        for mgid in self.groups:    # a queue pair in a group is in use
            self.group(CMD_DETACH_MCAST, mgid)
        self.ctx.close()


class AddressTest(PairTest):
    def setUp(self):
        super().setUp()
        folder = f"/sys/class/infiniband/{self.dev_name}/ports/1/gid_attrs/ndevs/0"
        with open(folder, encoding="ascii") as stream:
            self.netdev = stream.read().strip()
        self.address("add")
        self.addCleanup(self.address, "del")
        end = time.monotonic() + 10
        while ipaddress.IPv6Address(OWN) not in self.gids():
            self.assertLess(time.monotonic(), end)
        self.open = []

    def tearDown(self):
        for one in self.open:
            one.close()
        super().tearDown()

    def address(self, what):
        subprocess.run(["ip", "-6", "address", what, OWN + "/64", "dev", self.netdev, *["nodad"] * (what == "add")],
                       check=True)

    def gids(self):
        """Each address with its index."""
        found = {}
        for index in range(self.ctx.query_port(1).gid_tbl_len):
            value = ipaddress.IPv6Address(self.ctx.query_gid(1, index).gid)
            if int(value):
                found.setdefault(value, index)
        return found

    def index_of(self, wanted):
        return next(index for value, index in self.gids().items() if wanted(value))

    def of_every_kind(self):
        """Link-local, of IPv4, of IPv6."""
        kinds = (lambda gid: gid.is_link_local, lambda gid: gid.ipv4_mapped,
                 lambda gid: gid == ipaddress.IPv6Address(OWN))
        return [self.index_of(kind) for kind in kinds]

    def endpoint(self):
        self.open.append(Endpoint(self.dev_name))
        return self.open[-1]

    def handle(self, pd, gid_index, to=None, **more):
        dgid = GID(to.packed.hex(":", 2)) if to else self.ctx.query_gid(1, gid_index)
        route = GlobalRoute(dgid=dgid, sgid_index=gid_index, **more)
        return AH(pd, attr=AHAttr(port_num=1, is_global=1, gr=route, dlid=0))

    def headers(self, grh, gid, to, tclass, hops):
        """Annex A17.4.5.2: an IPv6 header, or an IPv4 header in the last 20 bytes."""
        if gid.ipv4_mapped:
            self.assertEqual(grh[20], 0x45)
            self.assertEqual((grh[21], grh[28], grh[29]), (tclass, hops, 17))
            self.assertEqual((grh[32:36], grh[36:40]), (gid.ipv4_mapped.packed, to.ipv4_mapped.packed))
        else:
            self.assertEqual(grh[:2], bytes((0x60 | tclass >> 4, tclass << 4 & 0xf0)))
            self.assertEqual(grh[7], hops)
            self.assertEqual((grh[8:24], grh[24:40]), (gid.packed, to.packed))

    def gid(self, index):
        return ipaddress.IPv6Address(self.ctx.query_gid(1, index).gid)


class UnicastTest(AddressTest):
    def test_connections(self):
        mr = self.reachable()
        for index in self.of_every_kind():
            for kind in (e.IBV_QPT_RC, e.IBV_QPT_UC):
                near, far = self.pair(kind=kind, gid_index=index)
                self.mr.write(f"{index:{SIZE}}", SIZE)
                self.assertEqual(self.rdma(mr.rkey, mr.buf, SIZE, side=near), e.IBV_WC_SUCCESS)
                far[0].post_recv(RecvWR(num_sge=1, sg=[SGE(self.mr.buf, 8, self.mr.lkey)]))
                self.post_send_only(near)
                self.assertEqual(self.status(far), e.IBV_WC_SUCCESS)
                self.assertEqual(mr.read(SIZE, 0), self.mr.read(SIZE, 0))

    def test_datagrams(self):
        for index in self.of_every_kind():
            near, far = self.endpoint(), self.endpoint()
            gid = self.gid(index)
            far.receive()
            ah = self.handle(near.pd, index, traffic_class=0x28)
            near.send(ah, far.qp.qp_num, b"x" * 1000)
            wc, grh, data = far.received()
            self.assertEqual((data, wc.src_qp), (b"x" * 1000, near.qp.qp_num))
            self.assertTrue(wc.wc_flags & e.IBV_WC_GRH)
            # the kernel's core asks the route how many hops, whatever the handle says
            self.headers(grh, gid, gid, 0x28, 64)

    def test_answers(self):
        """Who receives a datagram finds the way back in it."""
        for index in self.of_every_kind():
            near, far = self.endpoint(), self.endpoint()
            far.receive()
            near.receive()
            near.send(self.handle(near.pd, index), far.qp.qp_num, b"question")
            wc = far.received()[0]
            back = AH(far.pd, wc=wc, grh=far.mr.buf, port_num=1)
            far.send(back, wc.src_qp, b"answer")
            _, grh, data = near.received()
            self.assertEqual(data, b"answer")
            gid = self.gid(index)
            start = 32 if gid.ipv4_mapped else 8
            packed = gid.ipv4_mapped.packed if gid.ipv4_mapped else gid.packed
            self.assertEqual(grh[start:start + len(packed)], packed)


class MulticastTest(AddressTest):
    """From one queue pair of this host to others of it."""

    def members(self, n, mgid):
        found = [self.endpoint() for _ in range(n)]
        for one in found:
            one.join(mgid)
            one.receive()
        return found

    def silent(self, near, index, one):
        """What it receives first is what is sent to it now."""
        near.send(self.handle(near.pd, index), one.qp.qp_num, b"marker")
        self.assertEqual(one.received()[2], b"marker")

    def reaches_its_members(self, mgid, index):
        near, stranger = self.endpoint(), self.endpoint()
        neighbour = ipaddress.IPv6Address(int(mgid) + 1)
        (other,) = self.members(1, neighbour)
        members = self.members(2, mgid)
        stranger.receive()
        group = self.handle(near.pd, index, mgid, hop_limit=9)
        near.send(group, TO_A_GROUP, b"to all")
        for one in members:
            wc, grh, data = one.received()
            self.assertEqual((data, wc.src_qp), (b"to all", near.qp.qp_num))
            self.headers(grh, self.gid(index), mgid, 0, 9)
        for one in (stranger, other):
            self.silent(near, index, one)
        # who has left hears nothing
        members[0].leave(mgid)
        for one in members:
            one.receive()
        near.send(group, TO_A_GROUP, b"again")
        self.assertEqual(members[1].received()[2], b"again")
        self.silent(near, index, members[0])

    def test_ipv6(self):
        link_local, _, global_ = self.of_every_kind()
        for index in (link_local, global_):
            self.reaches_its_members(GROUP_6, index)

    def test_ipv4(self):
        self.reaches_its_members(GROUP_4, self.of_every_kind()[1])

    def test_a_group_is_a_group(self):
        one = self.endpoint()
        for address in ("fe80::1", "::ffff:10.0.0.1", "::"):
            with self.assertRaises(GroupError):
                one.join(ipaddress.IPv6Address(address))

    def test_members_are_datagram_queue_pairs(self):
        errors = set()
        for handle in range(64):
            with self.assertRaises(OSError) as raised:
                multicast(self.ctx, CMD_ATTACH_MCAST, handle, GROUP_6.packed)
            errors.add(raised.exception.errno)
        self.assertEqual(errors, {errno.EINVAL, errno.ENOENT})      # a queue pair of another kind, and no queue pair

    def test_once_is_enough(self):
        """The kernel's core takes a second time for the first one."""
        index = self.of_every_kind()[0]
        near = self.endpoint()
        (one,) = self.members(1, GROUP_6)
        one.group(CMD_ATTACH_MCAST, GROUP_6)
        one.receive()
        near.send(self.handle(near.pd, index, GROUP_6), TO_A_GROUP, b"once")
        self.assertEqual(one.received()[2], b"once")
        self.silent(near, index, one)
        one.leave(GROUP_6)
        with self.assertRaises(GroupError):
            one.group(CMD_DETACH_MCAST, GROUP_6)
