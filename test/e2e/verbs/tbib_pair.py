# SPDX-License-Identifier: Apache-2.0
"""Two queue pairs of one process, connected to each other: what our own tests in the pyverbs suite stand on."""

import contextlib
import signal

from pyverbs import enums as e
from pyverbs.addr import AHAttr, GlobalRoute
from pyverbs.cq import CQ
from pyverbs.mr import MR
from pyverbs.pd import PD
from pyverbs.pyverbs_error import PyverbsError, PyverbsRDMAError
from pyverbs.qp import QP, QPAttr, QPCap, QPInitAttr
from pyverbs.wr import SGE, SendWR
from tests.base import PyverbsAPITestCase

SIZE = 8192
REMOTE = e.IBV_ACCESS_REMOTE_WRITE | e.IBV_ACCESS_REMOTE_READ
ALL = e.IBV_ACCESS_LOCAL_WRITE | REMOTE
PORT_EVENTS = {e.IBV_EVENT_PORT_ACTIVE, e.IBV_EVENT_PORT_ERR, e.IBV_EVENT_GID_CHANGE}


@contextlib.contextmanager
def limit(seconds):
    """Ends what waits in read(): pyverbs then raises an error."""
    signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


class PairTest(PyverbsAPITestCase):
    ACCESS = e.IBV_ACCESS_LOCAL_WRITE

    def setUp(self):
        super().setUp()
        self.pd = PD(self.ctx)
        self.mr = MR(self.pd, SIZE, self.ACCESS)
        self.pairs = []
        self.near, self.far = self.pair()

    def own_address(self, gid_index=None):
        gid_index = self.gid_index if gid_index is None else gid_index
        route = GlobalRoute(dgid=self.ctx.query_gid(1, gid_index), sgid_index=gid_index)
        return AHAttr(port_num=1, is_global=1, gr=route, dlid=0)

    def connection(self, peer, gid_index=None):
        attr = QPAttr(port_num=1)
        attr.dest_qp_num = peer.qp_num
        attr.path_mtu = e.IBV_MTU_1024
        attr.qp_access_flags = REMOTE | e.IBV_ACCESS_REMOTE_ATOMIC
        attr.max_rd_atomic = attr.max_dest_rd_atomic = 4
        attr.min_rnr_timer = 12
        attr.timeout, attr.retry_cnt, attr.rnr_retry = 14, 7, 7
        attr.ah_attr = self.own_address(gid_index)
        return attr

    def pair(self, cqe=32, far_cq=None, far_state=e.IBV_QPS_RTS, far_reads=4, kind=e.IBV_QPT_RC, pd=None,
             srq=None, gid_index=None):
        """Two queue pairs that are connected to each other, each with its own CQ; far receives from srq."""
        cqs = [CQ(self.ctx, cqe), far_cq or CQ(self.ctx, cqe)]
        cap = QPCap(max_send_wr=8, max_recv_wr=8)
        near, far = (QP(pd or self.pd, QPInitAttr(qp_type=kind, scq=cq, rcq=cq, cap=cap, srq=queue))
                     for cq, queue in zip(cqs, (None, srq)))
        near.to_rts(self.connection(far, gid_index))
        attr = self.connection(near, gid_index)
        attr.max_dest_rd_atomic = far_reads
        (far.to_rtr if far_state == e.IBV_QPS_RTR else far.to_rts)(attr)
        self.pairs.append((near, far))      # closed when nobody holds them
        return list(zip((near, far), cqs))

    def reachable(self, size=SIZE):
        """Memory that a peer may write and do atomics on."""
        return MR(self.pd, size, ALL | e.IBV_ACCESS_REMOTE_ATOMIC)

    def raises(self, number, action, *arguments, **more):
        """By the kernel, or by librxe."""
        with self.assertRaises((OSError, PyverbsRDMAError)) as raised:
            action(*arguments, **more)
        error = raised.exception
        self.assertEqual(error.errno if isinstance(error, OSError) else error.error_code, number)

    @staticmethod
    def completion(side):
        while True:
            n, completions = side[1].poll(1)
            if n:
                return completions[0]

    def status(self, side):
        return self.completion(side).status

    def event(self, seconds=10, of_port=False):
        """The type of the next one, or None. Those of the port come whenever its addresses change."""
        with limit(seconds), contextlib.suppress(PyverbsError):
            while True:
                event = self.ctx.get_async_event()
                event.ack()
                if (event.event_type in PORT_EVENTS) == of_port:
                    return event.event_type
        return None

    def no_event(self):
        self.assertIsNone(self.event(seconds=0.3))

    def post_send_only(self, side):
        """Does not wait for its completion."""
        side[0].post_send(SendWR(opcode=e.IBV_WR_SEND, num_sge=1, sg=[SGE(self.mr.buf, 8, self.mr.lkey)]))

    def post(self, side, wr):
        side[0].post_send(wr)
        return self.status(side)

    def move(self, op, key, address, sge, side=None):
        """Between local and remote memory."""
        wr = SendWR(opcode=op, num_sge=1, sg=[sge])
        wr.set_wr_rdma(key, address)
        return self.post(side or self.near, wr)

    def rdma(self, key, address, length=64, op=e.IBV_WR_RDMA_WRITE, side=None):
        return self.move(op, key, address, SGE(self.mr.buf, length, self.mr.lkey), side)

    def fetch_add(self, key, address, value, side=None):
        wr = SendWR(opcode=e.IBV_WR_ATOMIC_FETCH_AND_ADD, num_sge=1, sg=[SGE(self.mr.buf, 8, self.mr.lkey)])
        wr.set_wr_atomic(key, address, value)
        return self.post(side or self.near, wr)
