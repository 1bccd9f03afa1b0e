# SPDX-License-Identifier: Apache-2.0
"""States of queue pairs and their attributes, legal and not. Runs inside pyverbs' suite."""

import contextlib
import errno

from pyverbs import enums as e
from pyverbs.cq import CQ
from pyverbs.pyverbs_error import PyverbsRDMAError
from pyverbs.qp import QP, QPCap, QPInitAttr
from pyverbs.wr import SGE, RecvWR, SendWR
from tests.tbib_pair import REMOTE, PairTest

RESET, INIT, RTR, RTS = e.IBV_QPS_RESET, e.IBV_QPS_INIT, e.IBV_QPS_RTR, e.IBV_QPS_RTS
SQD, ERR = e.IBV_QPS_SQD, e.IBV_QPS_ERR
STATES = (RESET, INIT, RTR, RTS, SQD, ERR)
# IBTA 10.3.1; the kernel's core lets no queue pair go from RESET to ERR
LEGAL = {RESET: {RESET, INIT}, INIT: {RESET, INIT, RTR, ERR}, RTR: {RESET, RTS, ERR},
         RTS: {RESET, RTS, SQD, ERR}, SQD: {RESET, RTS, SQD, ERR}, ERR: {RESET, ERR}}
WAY = {RESET: (), INIT: (INIT,), RTR: (INIT, RTR), RTS: (INIT, RTR, RTS), SQD: (INIT, RTR, RTS, SQD),
       ERR: (INIT, ERR)}
AV = e.IBV_QP_AV | e.IBV_QP_PATH_MTU | e.IBV_QP_DEST_QPN | e.IBV_QP_RQ_PSN
NEEDS = {
    e.IBV_QPT_RC: {
        INIT: e.IBV_QP_PKEY_INDEX | e.IBV_QP_PORT | e.IBV_QP_ACCESS_FLAGS,
        RTR: AV | e.IBV_QP_MAX_DEST_RD_ATOMIC | e.IBV_QP_MIN_RNR_TIMER,
        RTS: (e.IBV_QP_SQ_PSN | e.IBV_QP_TIMEOUT | e.IBV_QP_RETRY_CNT | e.IBV_QP_RNR_RETRY |
              e.IBV_QP_MAX_QP_RD_ATOMIC)},
    e.IBV_QPT_UC: {
        INIT: e.IBV_QP_PKEY_INDEX | e.IBV_QP_PORT | e.IBV_QP_ACCESS_FLAGS, RTR: AV,
        RTS: e.IBV_QP_SQ_PSN},
    e.IBV_QPT_UD: {
        INIT: e.IBV_QP_PKEY_INDEX | e.IBV_QP_PORT | e.IBV_QP_QKEY, RTR: 0, RTS: e.IBV_QP_SQ_PSN},
}
# where a state is entered for the first time
FIRST = {(RESET, INIT), (INIT, INIT), (INIT, RTR), (RTR, RTS)}


class StateTest(PairTest):
    def new(self, kind=e.IBV_QPT_RC):
        self.cqs = getattr(self, "cqs", []) + [CQ(self.ctx, 32)]
        cap = QPCap(max_send_wr=8, max_recv_wr=16)
        return QP(self.pd, QPInitAttr(qp_type=kind, scq=self.cqs[-1], rcq=self.cqs[-1], cap=cap))

    def wanted(self, peer):
        attr = self.connection(peer)
        attr.path_mtu = e.IBV_MTU_512
        attr.qp_access_flags = REMOTE
        attr.rq_psn, attr.sq_psn, attr.qkey = 0x123456, 0x654321, 0x11111111
        attr.max_rd_atomic, attr.max_dest_rd_atomic = 3, 5
        attr.min_rnr_timer, attr.timeout, attr.retry_cnt, attr.rnr_retry = 9, 17, 6, 5
        return attr

    def go(self, qp, old, new, kind=e.IBV_QPT_RC, attr=None, more=0):
        attr = attr or self.wanted(qp)
        attr.qp_state = new
        needs = NEEDS[kind].get(new, 0) if (old, new) in FIRST else 0
        qp.modify(attr, e.IBV_QP_STATE | needs | more)

    def bring(self, qp, state, kind=e.IBV_QPT_RC):
        old = RESET
        for new in WAY[state]:
            self.go(qp, old, new, kind)
            old = new

    @contextlib.contextmanager
    def case(self, *what):
        """Says of which case a failure is; subTest() is not told to the suite's result."""
        try:
            yield
        except (AssertionError, PyverbsRDMAError) as error:
            raise AssertionError(f"{what}: {error}") from error

    def state(self, qp):
        return qp.query(e.IBV_QP_STATE)[0].qp_state

    def refused(self, call, code=errno.EINVAL):
        with self.assertRaises(PyverbsRDMAError) as caught:
            call()
        self.assertEqual(caught.exception.error_code, code)

    def every_way(self, kind):
        for old in STATES:
            for new in STATES:
                with self.case(old, new):
                    qp = self.new(kind)
                    self.bring(qp, old, kind)
                    if new in LEGAL[old]:
                        self.go(qp, old, new, kind)
                        self.assertEqual(self.state(qp), new)
                    else:
                        self.refused(lambda: self.go(qp, old, new, kind))
                        self.assertEqual(self.state(qp), old)
                    qp.close()

    def test_every_way_of_rc(self):
        self.every_way(e.IBV_QPT_RC)

    def test_every_way_of_uc(self):
        self.every_way(e.IBV_QPT_UC)

    def test_every_way_of_ud(self):
        self.every_way(e.IBV_QPT_UD)

    def test_what_is_needed_is_needed(self):
        for old, new in ((RESET, INIT), (INIT, RTR), (RTR, RTS)):
            qp = self.new()
            self.bring(qp, old)
            attr = self.wanted(qp)
            attr.qp_state = new
            needs = NEEDS[e.IBV_QPT_RC][new]
            for bit in (1 << n for n in range(32)):
                if needs & bit:
                    self.refused(lambda: qp.modify(attr, e.IBV_QP_STATE | needs & ~bit))
            qp.modify(attr, e.IBV_QP_STATE | needs)

    def test_out_of_bounds(self):
        limits = self.ctx.query_device()
        for old, new, name, value in (
                (RESET, INIT, "port_num", 2), (RESET, INIT, "pkey_index", 1),
                (INIT, RTR, "path_mtu", 0), (INIT, RTR, "path_mtu", 6),
                (INIT, RTR, "max_dest_rd_atomic", limits.max_qp_rd_atom + 1),
                (INIT, RTR, "min_rnr_timer", 32), (INIT, RTR, "dest_qp_num", 1 << 24),
                (RTR, RTS, "max_rd_atomic", limits.max_qp_init_rd_atom + 1),
                (RTR, RTS, "timeout", 32), (RTR, RTS, "retry_cnt", 8), (RTR, RTS, "rnr_retry", 8)):
            with self.case(name, value):
                qp = self.new()
                self.bring(qp, old)
                attr = self.wanted(qp)
                setattr(attr, name, value)
                self.refused(lambda: self.go(qp, old, new, attr=attr))
                self.go(qp, old, new)
                qp.close()

    def test_query_tells_what_was_set(self):
        qp, peer = self.new(), self.new()
        for old, new in zip((RESET, *WAY[RTS]), WAY[RTS]):
            self.go(qp, old, new, attr=self.wanted(peer))
        got, _ = qp.query(0x1fffff)
        want = self.wanted(peer)
        for name in ("dest_qp_num", "path_mtu", "rq_psn", "sq_psn", "max_rd_atomic",
                     "max_dest_rd_atomic", "min_rnr_timer", "timeout", "retry_cnt", "rnr_retry",
                     "port_num", "qp_access_flags"):
            self.assertEqual(getattr(got, name), getattr(want, name), name)
        self.assertEqual(got.ah_attr.dgid, want.ah_attr.dgid)
        self.assertEqual(got.qp_state, RTS)
        self.assertFalse(got.sq_draining)

    def test_receives_are_flushed_posted_before_and_after(self):
        qp = self.new()
        self.bring(qp, RTR)
        sges = [SGE(self.mr.buf, 64, self.mr.lkey)]
        for n in range(8):
            if n == 5:
                self.go(qp, RTR, ERR)
            qp.post_recv(RecvWR(wr_id=100 + n, num_sge=1, sg=sges))
        for n in range(8):
            wc = self.completion((qp, self.cqs[-1]))
            self.assertEqual((wc.wr_id, wc.status), (100 + n, e.IBV_WC_WR_FLUSH_ERR))

    def test_a_queue_that_drains_does_not_go_back(self):
        # the answer is kept away: the receiver is not ready and the sender waits for it
        self.post_send_only(self.near)
        self.go(self.near[0], RTS, SQD)
        self.assertTrue(self.near[0].query(e.IBV_QP_STATE)[0].sq_draining)
        self.refused(lambda: self.go(self.near[0], SQD, RTS))
        self.refused(lambda: self.go(self.near[0], SQD, SQD, more=e.IBV_QP_AV))
        self.far[0].post_recv(RecvWR(num_sge=1, sg=[SGE(self.mr.buf, 64, self.mr.lkey)]))
        self.assertEqual(self.status(self.far), e.IBV_WC_SUCCESS)
        while self.near[0].query(e.IBV_QP_STATE)[0].sq_draining:
            pass
        self.go(self.near[0], SQD, RTS)
        self.assertEqual(self.state(self.near[0]), RTS)

    def test_what_changes_once_it_has_drained(self):
        """IBTA 11.2.5.2: the path and what belongs to it; then what waits goes that way."""
        near, far = self.near[0], self.far[0]
        self.go(near, RTS, SQD)
        while near.query(e.IBV_QP_STATE)[0].sq_draining:
            pass
        far.post_recv(RecvWR(num_sge=1, sg=[SGE(self.mr.buf, 64, self.mr.lkey)]))
        self.post_send_only(self.near)
        attr = self.wanted(far)
        attr.timeout, attr.retry_cnt, attr.rnr_retry, attr.max_rd_atomic = 18, 3, 2, 1
        path = self.own_address()
        path.traffic_class = 0x60
        attr.ah_attr = path
        self.go(near, SQD, SQD, attr=attr, more=e.IBV_QP_AV | e.IBV_QP_TIMEOUT | e.IBV_QP_RETRY_CNT |
                e.IBV_QP_RNR_RETRY | e.IBV_QP_MAX_QP_RD_ATOMIC)
        for mask in (e.IBV_QP_PATH_MTU, e.IBV_QP_DEST_QPN, e.IBV_QP_SQ_PSN):
            self.refused(lambda mask=mask: self.go(near, SQD, SQD, attr=attr, more=mask))
        got, _ = near.query(0x1fffff)
        self.assertEqual((got.qp_state, got.timeout, got.retry_cnt, got.rnr_retry, got.max_rd_atomic,
                          got.ah_attr.traffic_class), (SQD, 18, 3, 2, 1, 0x60))
        self.assertEqual(self.near[1].poll(1)[0], 0)
        self.go(near, SQD, RTS)
        self.assertEqual((self.status(self.near), self.status(self.far)), (e.IBV_WC_SUCCESS, e.IBV_WC_SUCCESS))

    def test_what_is_posted_too_early_is_refused_and_forgotten(self):
        """IBTA 10.3.1: there are no sends before RTS. librxe queues first and asks then."""
        for early, to_early in ((RESET, lambda *_: None), (INIT, QP.to_init), (RTR, QP.to_rtr)):
            with self.case(early):
                near, far = self.new(), self.new()
                far.to_rts(self.connection(near))
                to_early(near, self.connection(far))
                for n in range(3):
                    wr = SendWR(n, e.IBV_WR_SEND, num_sge=1, sg=[SGE(self.mr.buf, 16, self.mr.lkey)])
                    self.refused(lambda wr=wr: near.post_send(wr))
                    far.post_recv(RecvWR(num_sge=1, sg=[SGE(self.mr.buf, 64, self.mr.lkey)]))
                near.to_rts(self.connection(far))
                self.post_send_only((near,))
                near_cq, far_cq = self.cqs[-2:]
                self.assertEqual(self.status((near, near_cq)), e.IBV_WC_SUCCESS)
                self.assertEqual(self.completion((far, far_cq)).byte_len, 8)
                self.assertEqual((near_cq.poll(1)[0], far_cq.poll(1)[0]), (0, 0))
                near.close()
                far.close()
