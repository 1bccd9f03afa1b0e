# SPDX-License-Identifier: Apache-2.0
"""Extended posting of several pieces at once, of unequal lengths. Runs inside pyverbs' suite."""

from pyverbs import enums as e
from pyverbs.cq import CQ
from pyverbs.qp import QP, DataBuffer, QPCap, QPEx, QPInitAttr, QPInitAttrEx
from pyverbs.wr import SGE, RecvWR
from tests.tbib_pair import SIZE, PairTest

TEXT = b"ab" + b"cdefg" + b"h" + b"ijklmnopqrst"
LENGTHS = (2, 5, 1, 12)


class ListTest(PairTest):
    def connected(self):
        """Like near and far, but near takes work requests of ibv_wr_*()."""
        cqs = [CQ(self.ctx, 8) for _ in range(2)]
        cap = QPCap(max_send_wr=8, max_recv_wr=8, max_send_sge=len(LENGTHS), max_inline_data=64)
        near = QPEx(self.ctx, QPInitAttrEx(
            qp_type=e.IBV_QPT_RC, scq=cqs[0], rcq=cqs[0], cap=cap, pd=self.pd, send_ops_flags=e.IBV_QP_EX_WITH_SEND,
            comp_mask=e.IBV_QP_INIT_ATTR_PD | e.IBV_QP_INIT_ATTR_SEND_OPS_FLAGS))
        far = QP(self.pd, QPInitAttr(qp_type=e.IBV_QPT_RC, scq=cqs[1], rcq=cqs[1], cap=cap))
        near.to_rts(self.connection(far))
        far.to_rts(self.connection(near))
        return list(zip((near, far), cqs))

    def sent(self, give):
        """The pieces are sent last one first; give tells a QP of them, each an address and a length."""
        near, far = self.connected()
        self.mr.write(TEXT.decode(), len(TEXT))
        starts = [self.mr.buf + sum(LENGTHS[:n]) for n in range(len(LENGTHS))]
        far[0].post_recv(RecvWR(num_sge=1, sg=[SGE(self.mr.buf + SIZE // 2, SIZE // 2, self.mr.lkey)]))
        near[0].wr_start()
        near[0].wr_id = 1
        near[0].wr_flags = e.IBV_SEND_SIGNALED
        near[0].wr_send()
        give(near[0], list(zip(reversed(starts), reversed(LENGTHS))))
        near[0].wr_complete()
        self.assertEqual(self.status(near), e.IBV_WC_SUCCESS)
        came = self.completion(far).byte_len
        self.assertEqual(came, len(TEXT), f"a message of {came} bytes came")
        self.assertEqual(self.mr.read(len(TEXT), SIZE // 2), b"ijklmnopqrst" + b"h" + b"cdefg" + b"ab")

    def test_sge_list(self):
        """Before 64, librxe says that all are as long as the first; the module counts itself."""
        self.sent(lambda qp, pieces: qp.wr_set_sge_list(
            len(pieces), [SGE(start, length, self.mr.lkey) for start, length in pieces]))

    def test_inline_data_list(self):
        self.sent(lambda qp, pieces: qp.wr_set_inline_data_list(
            len(pieces), [DataBuffer(start, length) for start, length in pieces]))
