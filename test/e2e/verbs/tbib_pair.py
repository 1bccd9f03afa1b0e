# SPDX-License-Identifier: Apache-2.0
"""Two queue pairs of one process, connected to each other: what our own tests in the pyverbs suite stand on."""

from pyverbs import enums as e
from pyverbs.addr import AHAttr, GlobalRoute
from pyverbs.cq import CQ
from pyverbs.mr import MR
from pyverbs.pd import PD
from pyverbs.qp import QP, QPAttr, QPCap, QPInitAttr
from pyverbs.wr import SGE, SendWR
from tests.base import PyverbsAPITestCase

SIZE = 8192
REMOTE = e.IBV_ACCESS_REMOTE_WRITE | e.IBV_ACCESS_REMOTE_READ


class PairTest(PyverbsAPITestCase):
    ACCESS = e.IBV_ACCESS_LOCAL_WRITE

    def setUp(self):
        super().setUp()
        self.pd = PD(self.ctx)
        self.mr = MR(self.pd, SIZE, self.ACCESS)
        self.pairs = []
        self.near, self.far = self.pair()

    def connection(self, peer):
        route = GlobalRoute(dgid=self.ctx.query_gid(1, self.gid_index), sgid_index=self.gid_index)
        attr = QPAttr(port_num=1)
        attr.dest_qp_num = peer.qp_num
        attr.path_mtu = e.IBV_MTU_1024
        attr.qp_access_flags = REMOTE | e.IBV_ACCESS_REMOTE_ATOMIC
        attr.max_rd_atomic = attr.max_dest_rd_atomic = 4
        attr.min_rnr_timer = 12
        attr.timeout, attr.retry_cnt, attr.rnr_retry = 14, 7, 7
        attr.ah_attr = AHAttr(port_num=1, is_global=1, gr=route, dlid=0)
        return attr

    def pair(self, cqe=32, far_cq=None, far_state=e.IBV_QPS_RTS, far_reads=4):
        """Two queue pairs that are connected to each other, each with its own CQ."""
        cqs = [CQ(self.ctx, cqe), far_cq or CQ(self.ctx, cqe)]
        cap = QPCap(max_send_wr=8, max_recv_wr=8)
        near, far = (QP(self.pd, QPInitAttr(qp_type=e.IBV_QPT_RC, scq=cq, rcq=cq, cap=cap)) for cq in cqs)
        near.to_rts(self.connection(far))
        attr = self.connection(near)
        attr.max_dest_rd_atomic = far_reads
        (far.to_rtr if far_state == e.IBV_QPS_RTR else far.to_rts)(attr)
        self.pairs.append((near, far))      # closed when nobody holds them
        return list(zip((near, far), cqs))

    def reachable(self):
        """Memory that a peer may write and do atomics on."""
        return MR(self.pd, SIZE, e.IBV_ACCESS_LOCAL_WRITE | REMOTE | e.IBV_ACCESS_REMOTE_ATOMIC)

    @staticmethod
    def completion(side):
        while True:
            n, completions = side[1].poll(1)
            if n:
                return completions[0]

    def status(self, side):
        return self.completion(side).status

    def post_send_only(self, side):
        """Does not wait for its completion."""
        side[0].post_send(SendWR(opcode=e.IBV_WR_SEND, num_sge=1, sg=[SGE(self.mr.buf, 8, self.mr.lkey)]))

    def post(self, side, wr):
        side[0].post_send(wr)
        return self.status(side)

    def rdma(self, key, address, length=64, op=e.IBV_WR_RDMA_WRITE, side=None):
        wr = SendWR(opcode=op, num_sge=1, sg=[SGE(self.mr.buf, length, self.mr.lkey)])
        wr.set_wr_rdma(key, address)
        return self.post(side or self.near, wr)
