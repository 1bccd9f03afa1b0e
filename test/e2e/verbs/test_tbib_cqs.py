# SPDX-License-Identifier: Apache-2.0
"""Completion queues and shared receive queues that get another size while they are used. In pyverbs' suite."""

import errno
import os
import random
import struct
import types

from pyverbs import enums as e
from pyverbs.cq import CQ
from pyverbs.device import Context
from pyverbs.mr import MR
from pyverbs.pd import PD
from pyverbs.pyverbs_error import PyverbsRDMAError
from pyverbs.qp import QP, QPCap, QPInitAttr
from pyverbs.srq import SRQ, SrqAttr, SrqInitAttr
from pyverbs.wr import SGE, RecvWR, SendWR
from tests.tbib_pair import SIZE, PairTest

MESSAGES = 6000
DEPTH = 120             # receives that are posted ahead
BATCH = 16
SIZES = (DEPTH, 127, 128, 200, 1000, 5000)


class Pipe:
    """Numbers of queue pairs, from one process to another."""

    def __init__(self):
        self.ends = os.pipe()

    def put(self, number):
        os.write(self.ends[1], struct.pack("=I", number))

    def get(self):
        return struct.unpack("=I", os.read(self.ends[0], 4))[0]


class ResizeTest(PairTest):
    def stream(self, context):
        """The sender, which is a process of its own."""
        pd = PD(context)
        mr = MR(pd, SIZE, e.IBV_ACCESS_LOCAL_WRITE)
        cq = CQ(context, 2)
        cap = QPCap(max_send_wr=BATCH, max_recv_wr=1)
        qp = QP(pd, QPInitAttr(qp_type=e.IBV_QPT_RC, scq=cq, rcq=cq, cap=cap, sq_sig_all=0))
        self.there.put(qp.qp_num)
        qp.to_rts(self.connection(types.SimpleNamespace(qp_num=self.here.get())))
        for n in range(MESSAGES):
            last = n % BATCH == BATCH - 1 or n == MESSAGES - 1
            qp.post_send(SendWR(num_sge=1, sg=[SGE(mr.buf, 64, mr.lkey)],
                                send_flags=e.IBV_SEND_SIGNALED if last else 0))
            if last and self.status((qp, cq)) != e.IBV_WC_SUCCESS:
                return 1
        return 0

    def start(self, cq, srq=None):
        """A queue pair to which the sender sends; and the sender's process."""
        self.here, self.there = Pipe(), Pipe()
        sender = os.fork()
        if not sender:
            status = 2
            try:
                status = self.stream(Context(name=self.dev_name))
            finally:
                os._exit(status)
        cap = QPCap(max_send_wr=1, max_recv_wr=0 if srq else DEPTH)
        qp = QP(self.pd, QPInitAttr(qp_type=e.IBV_QPT_RC, scq=cq, rcq=cq, srq=srq, cap=cap))
        qp.to_rts(self.connection(types.SimpleNamespace(qp_num=self.there.get())))
        self.here.put(qp.qp_num)
        return qp, sender

    def receive(self, cq, sender, post_recv, resize):
        """Every message, in the order of the receives that were posted."""
        wr = RecvWR(num_sge=1, sg=[SGE(self.mr.buf, 64, self.mr.lkey)])
        posted = done = waited = 0
        while done < MESSAGES:
            while posted < min(done + DEPTH, MESSAGES):
                wr.wr_id = posted
                post_recv(wr)
                posted += 1
            resize()
            n, completions = cq.poll(random.choice((1, BATCH, DEPTH)))
            waited = max(waited, n)
            for wc in completions:
                self.assertEqual((wc.wr_id, wc.status), (done, e.IBV_WC_SUCCESS))
                done += 1
        self.assertEqual(cq.poll(1)[0], 0)
        self.assertEqual(os.waitpid(sender, 0)[1], 0)
        # else it was not what was to be tested
        self.assertGreater(waited, 1)

    def test_while_completions_arrive(self):
        cq = CQ(self.ctx, DEPTH)
        qp, sender = self.start(cq)
        self.receive(cq, sender, qp.post_recv, lambda: cq.resize(random.choice(SIZES)))

    def test_while_receives_are_consumed(self):
        cq = CQ(self.ctx, DEPTH)
        srq = SRQ(self.pd, SrqInitAttr(SrqAttr(max_wr=DEPTH, max_sge=1)))
        _qp, sender = self.start(cq, srq)
        self.receive(cq, sender, srq.post_recv,
                     lambda: srq.modify(SrqAttr(max_wr=random.choice(SIZES)), e.IBV_SRQ_MAX_WR))

    def fill(self, count):
        """That many completions wait in near's queue."""
        cq = CQ(self.ctx, count)
        near, far = self.pair(far_cq=cq)
        for n in range(count):
            far[0].post_recv(RecvWR(wr_id=n, num_sge=1, sg=[SGE(self.mr.buf, 64, self.mr.lkey)]))
            self.post_send_only(near)
            self.assertEqual(self.status(near), e.IBV_WC_SUCCESS)
        return cq

    def wait_there(self, cq, count):
        n, completions = cq.poll(count + 1)
        self.assertEqual([wc.wr_id for wc in completions], list(range(count)))
        self.assertEqual(n, count)

    def test_what_waits_moves(self):
        for size in 1500, 5000, 1100:
            cq = self.fill(1100)        # more than are moved in one go
            cq.resize(size)
            self.wait_there(cq, 1100)

    def test_smaller_than_what_waits(self):
        cq = self.fill(100)
        with self.assertRaises(PyverbsRDMAError) as caught:
            cq.resize(60)
        self.assertEqual(caught.exception.error_code, errno.EINVAL)
        self.wait_there(cq, 100)

    def test_smaller_than_what_is_posted(self):
        srq = SRQ(self.pd, SrqInitAttr(SrqAttr(max_wr=100, max_sge=1)))
        wr = RecvWR(num_sge=1, sg=[SGE(self.mr.buf, 64, self.mr.lkey)])
        for _ in range(100):
            srq.post_recv(wr)
        with self.assertRaises(PyverbsRDMAError) as caught:
            srq.modify(SrqAttr(max_wr=60), e.IBV_SRQ_MAX_WR)
        self.assertEqual(caught.exception.error_code, errno.EINVAL)
        srq.modify(SrqAttr(max_wr=100), e.IBV_SRQ_MAX_WR)
