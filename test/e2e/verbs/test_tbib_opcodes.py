# SPDX-License-Identifier: Apache-2.0
"""Work requests that a program may not make, of every number and kind of queue pair. Runs inside pyverbs' suite."""

import errno

from pyverbs import enums as e
from pyverbs.addr import AH
from pyverbs.wr import SGE, RecvWR, SendWR
from tests.tbib_pair import SIZE, PairTest

# rdma/ib_verbs.h: the kernel's own requests, which carry pointers
REG_MR, REG_MR_INTEGRITY = 0x20, 0x21
SENDS = {e.IBV_WR_SEND, e.IBV_WR_SEND_WITH_IMM}
WRITES = {e.IBV_WR_RDMA_WRITE, e.IBV_WR_RDMA_WRITE_WITH_IMM}
# IBTA 11.4.1.1: what there is on which service
LEGAL = {
    e.IBV_QPT_RC: SENDS | WRITES | {e.IBV_WR_SEND_WITH_INV, e.IBV_WR_RDMA_READ, e.IBV_WR_ATOMIC_CMP_AND_SWP,
                                    e.IBV_WR_ATOMIC_FETCH_AND_ADD, e.IBV_WR_LOCAL_INV, e.IBV_WR_BIND_MW,
                                    e.IBV_WR_FLUSH, e.IBV_WR_ATOMIC_WRITE},
    e.IBV_QPT_UC: SENDS | WRITES | {e.IBV_WR_LOCAL_INV, e.IBV_WR_BIND_MW},
    e.IBV_QPT_UD: SENDS,
}
# among them: legal ones but for higher bits, which a narrower field would lose
NUMBERS = [*range(0x40), 0x7f, 0x80, 0xff, *(high + e.IBV_WR_SEND for high in (0x100, 0x10000, 1 << 31)), 0xffffffff]
STATE = {e.IBV_QPT_RC: e.IBV_QPS_ERR, e.IBV_QPT_UC: e.IBV_QPS_SQE, e.IBV_QPT_UD: e.IBV_QPS_SQE}


class OpcodeTest(PairTest):
    def setUp(self):
        super().setUp()
        self.target = self.reachable()
        self.ah = AH(self.pd, attr=self.own_address())

    def request(self, kind, opcode, peer):
        """All that it could want is right; where a region's pointer would be, there is an address."""
        wr = SendWR(1, opcode, num_sge=1, sg=[SGE(self.mr.buf, 8, self.mr.lkey)])
        if kind == e.IBV_QPT_UD:
            wr.set_wr_ud(self.ah, peer.qp_num, 0)
        elif opcode in (e.IBV_WR_ATOMIC_CMP_AND_SWP, e.IBV_WR_ATOMIC_FETCH_AND_ADD):
            wr.set_wr_atomic(self.target.rkey, self.target.buf, 0, 1)
        elif opcode not in (e.IBV_WR_BIND_MW, e.IBV_WR_LOCAL_INV):
            wr.set_wr_rdma(self.target.rkey, self.target.buf)
        return wr

    def ends(self, kind, opcode):
        """A status, and the sides that it happened to."""
        near, far = self.pair(kind=kind)
        far[0].post_recv(RecvWR(num_sge=1, sg=[SGE(self.mr.buf, SIZE, self.mr.lkey)]))
        return self.post(near, self.request(kind, opcode, far[0])), near, far

    def refused(self, kind):
        peers = []
        for opcode in NUMBERS:
            if opcode in LEGAL[kind]:
                continue
            if opcode == e.IBV_WR_BIND_MW:      # by librxe
                near, far = self.pair(kind=kind)
                self.raises(errno.EINVAL, near[0].post_send, self.request(kind, opcode, far[0]))
                continue
            status, near, far = self.ends(kind, opcode)
            self.assertEqual(status, e.IBV_WC_LOC_QP_OP_ERR, opcode)
            self.assertEqual(near[0].query(e.IBV_QP_STATE)[0].qp_state, STATE[kind], opcode)
            near[0].close()
            peers.append((opcode, far))
        self.assertEqual(self.target.read(8, 0), bytes(8))
        for opcode, far in peers:
            self.assertEqual(far[1].poll(1)[0], 0, opcode)
            self.assertEqual(far[0].query(e.IBV_QP_STATE)[0].qp_state, e.IBV_QPS_RTS, opcode)
        self.works(kind)

    def works(self, kind):
        """The same requests, where they are legal."""
        for opcode in LEGAL[kind] & {*SENDS, *WRITES, e.IBV_WR_RDMA_READ, e.IBV_WR_ATOMIC_FETCH_AND_ADD}:
            self.assertEqual(self.ends(kind, opcode)[0], e.IBV_WC_SUCCESS, opcode)

    def test_reliable_connections(self):
        self.assertIn(REG_MR, NUMBERS)
        self.assertIn(REG_MR_INTEGRITY, NUMBERS)
        self.refused(e.IBV_QPT_RC)

    def test_unreliable_connections(self):
        self.refused(e.IBV_QPT_UC)

    def test_datagrams(self):
        self.refused(e.IBV_QPT_UD)
