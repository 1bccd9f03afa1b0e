# SPDX-License-Identifier: Apache-2.0
"""The order in which a queue pair works: IBV_SEND_FENCE (IBTA 10.8.3.3). Runs inside pyverbs' suite."""

import os
import struct

from pyverbs import enums as e
from pyverbs.mr import MR
from pyverbs.wr import SGE, RecvWR, SendWR
from tests.tbib_pair import PairTest

FENCE = e.IBV_SEND_FENCE | e.IBV_SEND_SIGNALED
SIZES = (1, 8, 100, 1024, 5000, 70_000, 1 << 20)


class FenceTest(PairTest):
    """Each request is behind a READ or an atomic whose answer is what it sends."""

    def setUp(self):
        super().setUp()
        self.source, self.target = self.reachable(SIZES[-1]), self.reachable(SIZES[-1])
        self.between = MR(self.pd, SIZES[-1], e.IBV_ACCESS_LOCAL_WRITE)

    def read(self, length, offset=0):
        wr = SendWR(1, e.IBV_WR_RDMA_READ, 1, sg=[SGE(self.between.buf + offset, length, self.between.lkey)])
        wr.set_wr_rdma(self.source.rkey, self.source.buf + offset)
        return wr

    def write(self, length, flags=FENCE, op=e.IBV_WR_RDMA_WRITE):
        wr = SendWR(2, op, 1, sg=[SGE(self.between.buf, length, self.between.lkey)], send_flags=flags)
        wr.set_wr_rdma(self.target.rkey, self.target.buf)
        return wr

    def send(self, length):
        self.far[0].post_recv(RecvWR(num_sge=1, sg=[SGE(self.target.buf, length, self.target.lkey)]))
        return SendWR(2, e.IBV_WR_SEND, 1, sg=[SGE(self.between.buf, length, self.between.lkey)], send_flags=FENCE)

    def in_one_list(self, *wrs):
        for wr, after in zip(wrs, wrs[1:]):
            wr.next_wr = after
        self.near[0].post_send(wrs[0])
        for _ in wrs:
            self.assertEqual(self.status(self.near), e.IBV_WC_SUCCESS)

    def rounds(self, make, check=lambda: None):
        for length in SIZES:
            for _ in range(200 if length < 10_000 else 20):
                data = os.urandom(length)
                self.source.write(data, length)
                self.in_one_list(self.read(length), make(length))
                check()
                self.assertEqual(self.target.read(length, 0), data, length)

    def test_write_behind_a_read(self):
        self.rounds(self.write)

    def test_send_behind_a_read(self):
        self.rounds(self.send, lambda: self.assertEqual(self.status(self.far), e.IBV_WC_SUCCESS))

    def test_write_behind_many_reads(self):
        for _ in range(50):
            data = os.urandom(6 * 3000)
            self.source.write(data, len(data))
            self.in_one_list(*(self.read(3000, n * 3000) for n in range(6)), self.write(len(data)))
            self.assertEqual(self.target.read(len(data), 0), data)

    def test_read_behind_a_read(self):
        """The second one reads what the first one wrote here."""
        reachable = self.between = self.reachable(SIZES[-1])
        for length in SIZES:
            data = os.urandom(length)
            self.source.write(data, length)
            again = SendWR(2, e.IBV_WR_RDMA_READ, 1, sg=[SGE(self.target.buf, length, self.target.lkey)],
                           send_flags=FENCE)
            again.set_wr_rdma(reachable.rkey, reachable.buf)
            self.in_one_list(self.read(length), again)
            self.assertEqual(self.target.read(length, 0), data, length)

    def test_write_behind_an_atomic(self):
        for n in range(300):
            self.source.write(struct.pack("=Q", n), 8)
            wr = SendWR(1, e.IBV_WR_ATOMIC_FETCH_AND_ADD, 1, sg=[SGE(self.between.buf, 8, self.between.lkey)])
            wr.set_wr_atomic(self.source.rkey, self.source.buf, 1)
            self.in_one_list(wr, self.write(8))
            self.assertEqual(struct.unpack("=Q", self.target.read(8, 0)), (n,))
            self.assertEqual(struct.unpack("=Q", self.source.read(8, 0)), (n + 1,))

    def test_inline_data_is_that_of_the_time_of_posting(self):
        """A fence does not make it wait for anything: the data has left the buffer."""
        near, _ = self.pair()
        self.between.write("a" * 8, 8)
        self.source.write("b" * 8, 8)
        self.near = near
        self.in_one_list(self.read(8), self.write(8, FENCE | e.IBV_SEND_INLINE))
        self.assertEqual(self.between.read(8, 0), b"b" * 8)
        self.assertEqual(self.target.read(8, 0), b"a" * 8)
