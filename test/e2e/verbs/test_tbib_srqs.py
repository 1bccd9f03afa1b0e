# SPDX-License-Identifier: Apache-2.0
"""Shared receive queues: resized with receives in them, and their limit. Runs inside pyverbs' suite."""

import errno

from pyverbs import enums as e
from pyverbs.mr import MR
from pyverbs.pd import PD
from pyverbs.qp import QPAttr
from pyverbs.srq import SRQ, SrqAttr, SrqInitAttr
from pyverbs.wr import SGE, RecvWR, SendWR
from tests.tbib_pair import PairTest

SLOT = 64       # bytes of a message
SLOTS = 1024    # that the memory has


class SrqTest(PairTest):
    def setUp(self):
        super().setUp()
        self.memory = MR(self.pd, SLOTS * SLOT, e.IBV_ACCESS_LOCAL_WRITE)
        self.new(15)

    def tearDown(self):
        self.pairs.clear()
        self.near = self.far = None     # before their receive queue
        self.srq.close()
        super().tearDown()

    def new(self, max_wr, **more):
        self.srq = SRQ(self.pd, SrqInitAttr(SrqAttr(max_wr=max_wr, **more)))
        self.near, self.far = self.pair(srq=self.srq)
        self.posted = self.taken = 0

    def slot(self, n):
        return self.memory.buf + n % SLOTS * SLOT

    def request(self, n):
        return RecvWR(wr_id=n, num_sge=1, sg=[SGE(self.slot(n), SLOT, self.memory.lkey)])

    def receive(self, n=1):
        """Posts the next n."""
        for self.posted in range(self.posted + 1, self.posted + n + 1):
            self.srq.post_recv(self.request(self.posted))

    def send(self, n=1):
        """Sends n, and does not wait for them."""
        for i in range(n):
            self.near[0].post_send(SendWR(i, e.IBV_WR_SEND, 1, sg=[SGE(self.mr.buf, SLOT, self.mr.lkey)]))

    def arrived(self, n):
        """The next n receives complete, in the order in which they were posted, where they should."""
        for _ in range(n):
            self.taken += 1
            wc = self.completion(self.far)
            self.assertEqual((wc.status, wc.wr_id), (e.IBV_WC_SUCCESS, self.taken))
            self.assertEqual(self.status(self.near), e.IBV_WC_SUCCESS)
            self.assertEqual(self.memory.read(SLOT, self.taken % SLOTS * SLOT), self.mr.read(SLOT, 0))

    def take(self, n):
        for _ in range(n):
            self.mr.write(f"{self.taken:64}", SLOT)
            self.send()
            self.arrived(1)

    def resize(self, max_wr):
        self.srq.modify(SrqAttr(max_wr=max_wr), e.IBV_SRQ_MAX_WR)

    def arm(self, srq_limit):
        self.srq.modify(SrqAttr(srq_limit=srq_limit), e.IBV_SRQ_LIMIT)

    def waiting(self):
        return self.posted - self.taken

    def fill(self):
        """To the last receive that there is room for, which query tells."""
        room = self.srq.query().max_wr - self.waiting()
        self.receive(room)
        self.raises(errno.ENOMEM, self.srq.post_recv, self.request(0))


class ResizeTest(SrqTest):
    """IBTA 11.2.3.3: what waits stays, or nothing is changed."""

    def all_arrive(self):
        self.take(self.waiting())
        self.receive(3)
        self.take(3)

    def test_larger(self):
        self.receive(10)
        self.take(3)
        self.resize(300)
        self.assertGreaterEqual(self.srq.query().max_wr, 300)
        self.fill()
        self.all_arrive()

    def test_smaller(self):
        self.new(500)
        self.receive(100)
        self.take(90)
        self.resize(10)
        self.assertLess(self.srq.query().max_wr, 100)
        self.fill()
        self.all_arrive()

    def test_full(self):
        self.fill()
        self.resize(100)
        self.fill()
        self.all_arrive()

    def test_empty(self):
        for max_wr in (100, 1, 7):
            self.resize(max_wr)
            self.receive()
            self.take(1)
        self.fill()
        self.all_arrive()

    def test_where_the_ring_begins_again(self):
        """Receives lie at the end of the old ring and at its beginning."""
        for turn in range(20):
            self.receive(9)
            self.resize((30, 9, 200, 12)[turn % 4])
            self.take(self.waiting() - turn % 3)
        self.all_arrive()

    def test_too_small_for_what_waits(self):
        self.new(500)
        self.receive(100)
        self.arm(3)
        before = self.srq.query()
        for max_wr in (1, 50, 0):
            self.raises(errno.EINVAL, self.resize, max_wr)
            after = self.srq.query()
            self.assertEqual((after.max_wr, after.srq_limit), (before.max_wr, 3))
        self.fill()
        self.take(self.waiting() - 3)
        self.no_event()
        self.take(1)
        self.assertEqual(self.event(), e.IBV_EVENT_SRQ_LIMIT_REACHED)
        self.all_arrive()

    def test_as_large_as_the_device_says(self):
        self.receive(10)
        self.resize(self.attr.max_srq_wr)
        self.raises(errno.EINVAL, self.resize, self.attr.max_srq_wr + 1)
        self.raises(errno.EINVAL, self.resize, 2 ** 32 - 1)
        self.assertGreaterEqual(self.srq.query().max_wr, self.attr.max_srq_wr)
        self.receive(SLOTS - 10)
        self.take(5)
        self.resize(SLOTS)
        self.all_arrive()

    def test_while_messages_arrive(self):
        for turn in range(100):
            self.receive(8)
            self.mr.write(f"{turn:64}", SLOT)
            self.send(7)
            self.resize(20 + turn * 37 % 300)
            self.send(1)
            self.arrived(8)

    def test_lists_as_long_as_before(self):
        srq = SRQ(self.pd, SrqInitAttr(SrqAttr(max_wr=4, max_sge=5)))
        near, far = self.pair(srq=srq)
        sges = [SGE(self.slot(n), 8, self.memory.lkey) for n in range(5)]
        srq.post_recv(RecvWR(num_sge=5, sg=sges))
        srq.modify(SrqAttr(max_wr=100), e.IBV_SRQ_MAX_WR)
        self.assertEqual(srq.query().max_sge, 5)
        srq.post_recv(RecvWR(num_sge=5, sg=sges))
        for byte in "ab":
            self.mr.write(byte * 40, 40)
            wr = SendWR(opcode=e.IBV_WR_SEND, num_sge=1, sg=[SGE(self.mr.buf, 40, self.mr.lkey)])
            self.assertEqual(self.post(near, wr), e.IBV_WC_SUCCESS)
            self.assertEqual(self.status(far), e.IBV_WC_SUCCESS)
            self.assertEqual([self.memory.read(8, n * SLOT) for n in range(5)], [byte.encode() * 8] * 5)
        for qp, _ in (near, far):
            qp.close()
        srq.close()


class SharedTest(SrqTest):
    """IBTA 10.2.9: what many queue pairs have in common."""

    def test_a_queue_pair_in_error_leaves_them_to_others(self):
        self.receive(5)
        self.take(2)
        others = self.pair(srq=self.srq)
        attr = QPAttr()
        attr.qp_state = e.IBV_QPS_ERR
        self.far[0].modify(attr, e.IBV_QP_STATE)
        self.assertEqual(self.event(), e.IBV_EVENT_QP_LAST_WQE_REACHED)
        self.assertEqual(self.far[1].poll(1)[0], 0)
        self.near, self.far = others
        self.take(3)

    def test_each_takes_the_oldest(self):
        sides = [(self.near, self.far), self.pair(srq=self.srq), self.pair(srq=self.srq)]
        for turn in range(30):
            self.receive()
            self.near, self.far = sides[turn * 7 % 3]
            self.take(1)

    def test_memory_is_of_its_own_protection_domain(self):
        other = PD(self.ctx)
        srq = SRQ(other, SrqInitAttr(SrqAttr(max_wr=8)))
        memory = MR(other, SLOT, e.IBV_ACCESS_LOCAL_WRITE)
        near, far = self.pair(srq=srq)
        for mr, status in ((memory, e.IBV_WC_SUCCESS), (self.memory, e.IBV_WC_LOC_PROT_ERR)):
            srq.post_recv(RecvWR(num_sge=1, sg=[SGE(mr.buf, SLOT, mr.lkey)]))
            near[0].post_send(SendWR(0, e.IBV_WR_SEND, 1, sg=[SGE(self.mr.buf, SLOT, self.mr.lkey)]))
            self.assertEqual(self.status(far), status)
        for thing in (near[0], far[0], srq, memory, other):
            thing.close()


class LimitTest(SrqTest):
    """IBTA 10.2.9.3: an event when fewer receives than the limit are left, once."""

    def limit_reached(self):
        self.assertEqual(self.event(), e.IBV_EVENT_SRQ_LIMIT_REACHED)
        self.assertEqual(self.srq.query().srq_limit, 0)

    def test_fires_once_until_it_is_armed_again(self):
        self.receive(10)
        self.arm(8)
        self.assertEqual(self.srq.query().srq_limit, 8)
        self.take(2)
        self.no_event()
        self.take(1)
        self.limit_reached()
        self.take(2)
        self.no_event()
        self.arm(3)
        self.take(2)
        self.no_event()
        self.take(1)
        self.limit_reached()
        self.arm(5)     # which is more than there are
        self.take(1)
        self.limit_reached()

    def test_disarmed(self):
        self.receive(10)
        self.arm(9)
        self.arm(0)
        self.take(10)
        self.no_event()

    def test_kept_when_the_queue_is_resized(self):
        self.receive(10)
        self.arm(4)
        self.resize(200)
        self.assertEqual(self.srq.query().srq_limit, 4)
        self.take(6)
        self.no_event()
        self.resize(4)
        self.assertEqual(self.srq.query().srq_limit, 4)
        self.take(1)
        self.limit_reached()

    def test_set_when_the_queue_is_resized(self):
        self.receive(10)
        self.srq.modify(SrqAttr(max_wr=100, srq_limit=9), e.IBV_SRQ_MAX_WR | e.IBV_SRQ_LIMIT)
        attr = self.srq.query()
        self.assertGreaterEqual(attr.max_wr, 100)
        self.assertEqual(attr.srq_limit, 9)
        self.take(1)
        self.no_event()
        self.take(1)
        self.limit_reached()

    def test_not_above_the_size(self):
        size = self.srq.query().max_wr
        self.arm(size)
        self.raises(errno.EINVAL, self.arm, size + 1)
        self.raises(errno.EINVAL, self.resize, size // 4)
        self.raises(errno.EINVAL, self.srq.modify, SrqAttr(max_wr=20, srq_limit=21),
                    e.IBV_SRQ_MAX_WR | e.IBV_SRQ_LIMIT)
        attr = self.srq.query()
        self.assertEqual((attr.max_wr, attr.srq_limit), (size, size))

    def test_means_nothing_at_creation(self):
        """ibv_create_srq(3): irrelevant, so programs leave anything there."""
        for value in (5, 2 ** 32 - 1):
            self.new(15, srq_limit=value)
            self.assertEqual(self.srq.query().srq_limit, 0)
            self.receive(8)
            self.take(8)
            self.no_event()
            self.pairs.pop()
