# SPDX-License-Identifier: Apache-2.0
"""Asynchronous events as a program sees them, and CQs: notified, full, resized. Runs inside pyverbs' suite."""

import contextlib
import errno
import subprocess
import time

from pyverbs import enums as e
from pyverbs.cq import CQ, CompChannel
from pyverbs.pyverbs_error import PyverbsError, PyverbsRDMAError
from pyverbs.qp import QP, QPAttr, QPCap, QPInitAttr
from pyverbs.srq import SRQ, SrqAttr, SrqInitAttr
from pyverbs.wr import SGE, RecvWR, SendWR
from tests.tbib_pair import PairTest, limit


class EventTest(PairTest):
    def modify(self, qp, state, mask=0, **values):
        attr = QPAttr()
        attr.qp_state = state
        for name, value in values.items():
            setattr(attr, name, value)
        qp.modify(attr, e.IBV_QP_STATE | mask)

    def drained(self):
        """An event that comes for certain, after whatever came before."""
        self.modify(self.pair()[0][0], e.IBV_QPS_SQD, e.IBV_QP_EN_SQD_ASYNC_NOTIFY, en_sqd_async_notify=1)

    def receive(self, side):
        side[0].post_recv(RecvWR(num_sge=1, sg=[SGE(self.mr.buf, 64, self.mr.lkey)]))

    def test_send_queue_drained(self):
        self.post_send_only(self.near)      # and the receiver is not ready
        self.modify(self.near[0], e.IBV_QPS_SQD, e.IBV_QP_EN_SQD_ASYNC_NOTIFY, en_sqd_async_notify=1)
        self.no_event()
        self.receive(self.far)
        self.assertEqual(self.event(), e.IBV_EVENT_SQ_DRAINED)

    def test_drained_is_told_only_on_demand(self):
        self.modify(self.near[0], e.IBV_QPS_SQD)
        self.drained()
        self.assertEqual(self.event(), e.IBV_EVENT_SQ_DRAINED)
        self.assertEqual(self.rdma(1, 0, side=self.pair()[0]), e.IBV_WC_REM_ACCESS_ERR)
        self.assertEqual(self.event(), e.IBV_EVENT_QP_ACCESS_ERR)

    def test_communication_established(self):
        near, far = self.pair(far_state=e.IBV_QPS_RTR)
        self.receive(far)
        self.post_send_only(near)
        self.assertEqual(self.event(), e.IBV_EVENT_COMM_EST)
        self.assertEqual(self.status(far), e.IBV_WC_SUCCESS)

    def test_access_error(self):
        self.assertEqual(self.rdma(1, 0), e.IBV_WC_REM_ACCESS_ERR)
        self.assertEqual(self.event(), e.IBV_EVENT_QP_ACCESS_ERR)

    def test_request_error(self):
        near, _ = self.pair(far_reads=0)
        mr = self.reachable()
        self.assertEqual(self.rdma(mr.rkey, mr.buf, op=e.IBV_WR_RDMA_READ, side=near),
                         e.IBV_WC_REM_INV_REQ_ERR)
        self.assertEqual(self.event(), e.IBV_EVENT_QP_REQ_ERR)

    def test_last_wqe_reached(self):
        srq = SRQ(self.pd, SrqInitAttr(SrqAttr(max_wr=8)))
        cq = CQ(self.ctx, 8)
        qp = QP(self.pd, QPInitAttr(qp_type=e.IBV_QPT_RC, scq=cq, rcq=cq, srq=srq, cap=QPCap(max_send_wr=2)))
        qp.to_rtr(self.connection(qp))
        self.modify(self.near[0], e.IBV_QPS_ERR)    # has no SRQ: nothing is told
        self.modify(qp, e.IBV_QPS_ERR)
        self.assertEqual(self.event(), e.IBV_EVENT_QP_LAST_WQE_REACHED)
        self.drained()
        self.assertEqual(self.event(), e.IBV_EVENT_SQ_DRAINED)
        qp.close()
        srq.close()

    def test_address_comes_and_goes(self):
        self.addCleanup(subprocess.run, ["ip", "address", "del", "10.99.0.1/32", "dev", self.dev_name],
                        stderr=subprocess.DEVNULL, check=False)
        for what in ("add", "del"):
            subprocess.run(["ip", "address", what, "10.99.0.1/32", "dev", self.dev_name], check=True)
            self.assertEqual(self.event(of_port=True), e.IBV_EVENT_GID_CHANGE)

    def overflow(self, side):
        mr = self.reachable()
        for _ in range(8):
            wr = SendWR(opcode=e.IBV_WR_RDMA_WRITE, num_sge=1, sg=[SGE(self.mr.buf, 8, self.mr.lkey)])
            wr.set_wr_rdma(mr.rkey, mr.buf)
            side[0].post_send(wr)
        self.assertEqual({self.event(), self.event()}, {e.IBV_EVENT_CQ_ERR, e.IBV_EVENT_QP_FATAL})
        self.assertEqual(side[0].query(e.IBV_QP_STATE)[0].qp_state, e.IBV_QPS_ERR)
        self.no_event()

    def test_completion_queue_overflows(self):
        self.overflow(self.pair(cqe=1)[0])

    def test_completion_queue_overflows_again(self):
        near, _ = self.pair(cqe=1)
        self.overflow(near)
        while near[1].poll(1)[0]:
            pass
        self.overflow(self.pair(far_cq=near[1])[1])


class QueueTest(PairTest):
    def writes(self, n, mr):
        for _ in range(n):
            wr = SendWR(opcode=e.IBV_WR_RDMA_WRITE, num_sge=1, sg=[SGE(self.mr.buf, 8, self.mr.lkey)])
            wr.set_wr_rdma(mr.rkey, mr.buf)
            self.near[0].post_send(wr)

    def test_resized_with_completions_in_it(self):
        cq = self.near[1]
        self.far[0].post_recv(RecvWR(num_sge=1, sg=[SGE(self.mr.buf, 64, self.mr.lkey)]))
        self.writes(6, self.reachable())
        self.post_send_only(self.near)
        self.assertEqual(self.status(self.far), e.IBV_WC_SUCCESS)
        time.sleep(0.5)     # the last acknowledgement
        with self.assertRaises(PyverbsRDMAError) as caught:
            cq.resize(3)
        self.assertEqual(caught.exception.error_code, errno.EINVAL)
        cq.resize(200)
        self.assertGreaterEqual(cq.cqe, 200)
        for _ in range(7):
            self.assertEqual(self.status(self.near), e.IBV_WC_SUCCESS)
        self.assertEqual(cq.poll(1)[0], 0)
        self.writes(1, self.reachable())
        self.assertEqual(self.status(self.near), e.IBV_WC_SUCCESS)


class SolicitedTest(PairTest):
    """IBTA 11.4.2.2: who wants solicited completions only is woken by those, and by errors."""

    def setUp(self):
        super().setUp()
        self.channel = CompChannel(self.ctx)
        self.cq = CQ(self.ctx, 32, None, self.channel, 0)
        self.near, self.far = self.pair(far_cq=self.cq)
        self.target = self.reachable()
        self.cq.req_notify(solicited_only=True)

    def receive(self):
        self.far[0].post_recv(RecvWR(num_sge=1, sg=[SGE(self.mr.buf, 64, self.mr.lkey)]))

    def woken(self, seconds=10):
        with limit(seconds), contextlib.suppress(PyverbsError):
            self.channel.get_cq_event(self.cq)
            self.cq.ack_events(1)
            return True
        return False

    def arrives(self, op, flags):
        self.receive()
        wr = SendWR(opcode=op, num_sge=1, sg=[SGE(self.mr.buf, 8, self.mr.lkey)],
                    send_flags=e.IBV_SEND_SIGNALED | flags)
        wr.set_wr_rdma(self.target.rkey, self.target.buf)
        self.assertEqual(self.post(self.near, wr), e.IBV_WC_SUCCESS)
        self.assertEqual(self.status(self.far), e.IBV_WC_SUCCESS)

    def test_by_what_is_flagged(self):
        for op in (e.IBV_WR_SEND, e.IBV_WR_SEND_WITH_IMM, e.IBV_WR_RDMA_WRITE_WITH_IMM):
            self.arrives(op, 0)
            self.assertFalse(self.woken(0.5), op)
            self.arrives(op, e.IBV_SEND_SOLICITED)
            self.assertTrue(self.woken(), op)
            self.cq.req_notify(solicited_only=True)

    def test_by_a_send_that_fails(self):
        self.assertEqual(self.rdma(self.target.rkey, self.target.buf, side=self.far), e.IBV_WC_SUCCESS)
        self.assertFalse(self.woken(0.5))
        self.assertEqual(self.rdma(1, 0, side=self.far), e.IBV_WC_REM_ACCESS_ERR)
        self.assertTrue(self.woken())

    def test_by_a_receive_that_fails(self):
        self.receive()
        wr = SendWR(num_sge=1, sg=[SGE(self.mr.buf, 65, self.mr.lkey)])
        self.assertEqual(self.post(self.near, wr), e.IBV_WC_REM_INV_REQ_ERR)
        self.assertEqual(self.status(self.far), e.IBV_WC_LOC_LEN_ERR)
        self.assertTrue(self.woken())

    def test_by_a_receive_that_is_flushed(self):
        self.receive()
        attr = QPAttr()
        attr.qp_state = e.IBV_QPS_ERR
        self.far[0].modify(attr, e.IBV_QP_STATE)
        self.assertEqual(self.status(self.far), e.IBV_WC_WR_FLUSH_ERR)
        self.assertTrue(self.woken())
