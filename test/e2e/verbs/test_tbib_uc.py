# SPDX-License-Identifier: Apache-2.0
"""Windows of unreliable connections, which give and take access as reliable ones do. Runs inside pyverbs' suite."""

from pyverbs import enums as e
from pyverbs.cq import CQ
from pyverbs.mr import MW, MWBindInfo
from pyverbs.qp import QP, QPCap, QPInitAttr
from pyverbs.wr import SGE, RecvWR, SendWR
from tests.tbib_pair import REMOTE, SIZE, PairTest

HALF = SIZE // 2


class UnreliableWindowTest(PairTest):
    ACCESS = e.IBV_ACCESS_LOCAL_WRITE | e.IBV_ACCESS_MW_BIND

    def setUp(self):
        super().setUp()
        sides = []
        for _ in range(2):
            cq = CQ(self.ctx, 16)
            cap = QPCap(max_send_wr=8, max_recv_wr=8)
            sides.append((QP(self.pd, QPInitAttr(qp_type=e.IBV_QPT_UC, scq=cq, rcq=cq, cap=cap)), cq))
        self.near, self.far = sides
        for side, peer in (sides, reversed(sides)):
            side[0].to_rts(self.connection(peer[0]))

    def bind(self, mw):
        wr = SendWR(opcode=e.IBV_WR_BIND_MW)
        wr.set_bind_wr(mw, MWBindInfo(self.mr, self.mr.buf + HALF, HALF, REMOTE))
        self.assertEqual(self.post(self.far, wr), e.IBV_WC_SUCCESS)
        return wr.rkey

    def invalidate(self, key):
        wr = SendWR(opcode=e.IBV_WR_LOCAL_INV)
        wr.imm_data = key
        return self.post(self.far, wr)

    def write(self, key, letter):
        """What is there when a message behind the WRITE has come."""
        sges = [SGE(self.mr.buf, 64, self.mr.lkey)]
        self.far[0].post_recv(RecvWR(num_sge=1, sg=[SGE(self.mr.buf + 128, 64, self.mr.lkey)]))
        self.mr.write(letter * 64, 64)
        # the sender of an unreliable connection does not hear of a refusal
        self.assertEqual(self.rdma(key, self.mr.buf + HALF), e.IBV_WC_SUCCESS)
        self.assertEqual(self.post(self.near, SendWR(num_sge=1, sg=sges)), e.IBV_WC_SUCCESS)
        self.assertEqual(self.status(self.far), e.IBV_WC_SUCCESS)
        return self.mr.read(1, HALF).decode()

    def test_bind_and_invalidate(self):
        first, second = (MW(self.pd, e.IBV_MW_TYPE_2) for _ in range(2))
        key = self.bind(first)
        self.assertEqual(self.write(key, "a"), "a")
        self.assertEqual(self.invalidate(key), e.IBV_WC_SUCCESS)
        self.assertEqual(self.write(key, "b"), "a")
        again = self.bind(second)
        self.assertEqual(self.write(again, "c"), "c")
        self.assertEqual(self.write(key, "d"), "c")

    def test_not_a_key(self):
        self.assertEqual(self.invalidate(0x12345678), e.IBV_WC_LOC_QP_OP_ERR)
