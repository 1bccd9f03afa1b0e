# SPDX-License-Identifier: Apache-2.0
"""Regions of a process's memory that have an address of their own, or are reregistered. Runs inside pyverbs' suite."""

import errno
import struct

from pyverbs import enums as e
from pyverbs.mr import MR, MW, MWBindInfo
from pyverbs.pd import PD
from pyverbs.wr import SGE, RecvWR, SendWR
from tests.tbib_pair import ALL, REMOTE, SIZE, PairTest
from tests.tbib_uverbs import REREG_ACCESS, REREG_PD, REREG_TRANS, register, rereg

WRITE, READ = e.IBV_WR_RDMA_WRITE, e.IBV_WR_RDMA_READ
ATOMIC = ALL | e.IBV_ACCESS_REMOTE_ATOMIC
BIG = 1 << 20


def pattern(length, seed):
    """Bytes of which no two pages are the same."""
    return b"".join(struct.pack("=II", seed, n) for n in range((length + 7) // 8))[:length]


class RegionTest(PairTest):
    def setUp(self):
        super().setUp()
        self.regions = []

    def tearDown(self):
        for region in self.regions:     # before the protection domain
            region.close()
        super().tearDown()

    def region(self, memory, iova, offset=0, length=None, access=ATOMIC):
        """Part of a region once more, under another address."""
        self.regions.append(register(self.ctx, self.pd, memory.buf + offset, length or memory.length - offset,
                                     iova, access))
        return self.regions[-1]

    def round_trip(self, key, address, length=SIZE):
        """Bytes that were written there come back, and may be read."""
        self.mr.write("x" * length, length)
        self.assertEqual(self.rdma(key, address, length), e.IBV_WC_SUCCESS)
        self.mr.write("-" * length, length)
        self.assertEqual(self.rdma(key, address, length, READ), e.IBV_WC_SUCCESS)
        self.assertEqual(self.mr.read(length, 0), b"x" * length)


class AddressTest(RegionTest):
    """IBTA 10.6.3.2 calls it the region's virtual address, which its owner chooses."""

    def goes_to(self, memory, offset, length, iova):
        """Remote writes and reads at iova mean these bytes, and none beside them."""
        region = self.region(memory, iova, offset, length)
        local = MR(self.pd, length, e.IBV_ACCESS_LOCAL_WRITE)
        for start, size in ((0, length), (1, length - 1), (0, 1), (length - 1, 1), (length // 3, length // 2)):
            memory.write(bytes(memory.length), memory.length)
            data = pattern(size, start)
            local.write(data, size)
            sge = SGE(local.buf, size, local.lkey)
            self.assertEqual(self.move(WRITE, region.rkey, iova + start, sge), e.IBV_WC_SUCCESS)
            begin = offset + start
            self.assertEqual(memory.read(memory.length, 0),
                             bytes(begin) + data + bytes(memory.length - begin - size))
            local.write(bytes(size), size)
            self.assertEqual(self.move(READ, region.rkey, iova + start, sge), e.IBV_WC_SUCCESS)
            self.assertEqual(local.read(size, 0), data)

    def test_of_whole_pages(self):
        self.goes_to(self.reachable(), 0, SIZE, 0x7654_3210_0000)

    def test_large(self):
        self.goes_to(self.reachable(BIG), 0, BIG, 0x1_0000_1000)

    def test_not_whole_pages(self):
        self.goes_to(self.reachable(BIG), 4097, 100_003, 0x7654_3210_0000 + 4097)

    def test_zero(self):
        self.goes_to(self.reachable(), 0, SIZE, 0)

    def test_at_the_end_of_all_addresses(self):
        self.goes_to(self.reachable(), 0, SIZE, 2 ** 64 - SIZE)

    def test_within_the_page_as_in_memory(self):
        """What the kernel's core demands of every driver."""
        memory = self.reachable()
        for offset, iova in ((0, 8), (8, 0), (100, 4196 + 1)):
            self.raises(errno.EINVAL, self.region, memory, 0x10000 + iova, offset, 1000)

    def test_none_but_this_one(self):
        memory = self.reachable()
        region = self.region(memory, 0x10000)
        self.assertEqual(self.rdma(region.rkey, memory.buf), e.IBV_WC_REM_ACCESS_ERR)

    def ends(self, offset, length, iova):
        memory = self.reachable(4 * SIZE)
        region = self.region(memory, iova, offset, length)
        for op in (WRITE, READ):
            for start, size in ((-1, 1), (-1, length + 1), (length, 1), (1, length), (length - 1, 2), (2 ** 63, 8)):
                near, _ = self.pair()
                self.assertEqual(self.rdma(region.rkey, (iova + start) % 2 ** 64, size, op, near),
                                 e.IBV_WC_REM_ACCESS_ERR, (op, start, size))
        self.assertEqual(memory.read(memory.length, 0), bytes(memory.length))

    def test_ends_of_whole_pages(self):
        self.ends(SIZE, SIZE - 4096, 0x7654_3210_0000)

    def test_ends_within_pages(self):
        self.ends(SIZE + 100, 5000, 0x7654_3210_0000 + 100)

    def test_ends_at_zero(self):
        self.ends(SIZE, 4096, 0)

    def test_local_source_and_destination(self):
        memory, peer = self.reachable(BIG), self.reachable(BIG)
        iova, offset, size = 0x5000_0000_0000 + 40, 4096 + 40, 300_001
        region = self.region(memory, iova, offset)
        data = pattern(size, 1)
        memory.write(data, size, offset + 9)
        sge = SGE(iova + 9, size, region.lkey)
        self.assertEqual(self.move(WRITE, peer.rkey, peer.buf, sge), e.IBV_WC_SUCCESS)
        self.assertEqual(peer.read(size, 0), data)
        memory.write(bytes(BIG), BIG)
        self.assertEqual(self.move(READ, peer.rkey, peer.buf, sge), e.IBV_WC_SUCCESS)
        self.assertEqual(memory.read(BIG, 0), bytes(offset + 9) + data + bytes(BIG - offset - 9 - size))

    def test_sent_and_received(self):
        memory = self.reachable()
        iova = 0x5000_0000_0000
        region = self.region(memory, iova)
        data = pattern(3000, 2)
        memory.write(data, 3000)
        self.far[0].post_recv(RecvWR(num_sge=1, sg=[SGE(iova + 4096, 3000, region.lkey)]))
        send = SendWR(opcode=e.IBV_WR_SEND, num_sge=1, sg=[SGE(iova, 3000, region.lkey)])
        self.assertEqual(self.post(self.near, send), e.IBV_WC_SUCCESS)
        self.assertEqual(self.status(self.far), e.IBV_WC_SUCCESS)
        self.assertEqual(memory.read(3000, 4096), data)

    def test_local_lists_end_where_it_ends(self):
        memory, peer = self.reachable(), self.reachable()
        iova = 0x5000_0000_0000
        region = self.region(memory, iova)
        for op in (WRITE, READ):
            for address, size in ((memory.buf, 8), (iova - 1, 8), (iova + 1, SIZE), (iova + SIZE, 1)):
                near, _ = self.pair()
                self.assertEqual(self.move(op, peer.rkey, peer.buf, SGE(address, size, region.lkey), near),
                                 e.IBV_WC_LOC_PROT_ERR, (op, address, size))

    def test_atomics(self):
        memory = self.reachable()
        region = self.region(memory, 0x10_0000 + 8, offset=8)
        memory.write(struct.pack("=Q", 40), 8, 4104)
        self.assertEqual(self.fetch_add(region.rkey, 0x10_0000 + 4104, 2), e.IBV_WC_SUCCESS)
        self.assertEqual(struct.unpack("=Q", self.mr.read(8, 0))[0], 40)
        self.assertEqual(struct.unpack("=Q", memory.read(8, 4104))[0], 42)


class ReregTest(RegionTest):
    """IBTA 11.2.8.5"""

    def rereg(self, mr, flags, *what, **more):
        return rereg(self.ctx, mr.handle, flags, *what, **more)

    def test_other_rights(self):
        mr = MR(self.pd, SIZE, e.IBV_ACCESS_LOCAL_WRITE)
        self.assertEqual(self.rereg(mr, REREG_ACCESS, access=ALL), (mr.lkey, mr.rkey))
        self.round_trip(mr.rkey, mr.buf)
        self.rereg(mr, REREG_ACCESS, access=e.IBV_ACCESS_LOCAL_WRITE)
        self.assertEqual(self.rdma(mr.rkey, mr.buf), e.IBV_WC_REM_ACCESS_ERR)

    def test_writable_from_now_on(self):
        mr = MR(self.pd, SIZE, e.IBV_ACCESS_REMOTE_READ)
        key = self.rereg(mr, REREG_ACCESS, access=ALL)[1]
        self.round_trip(key, mr.buf)

    def test_writable_at_its_own_address(self):
        memory, iova = self.reachable(), 0x5000_0000_0000 + 64
        region = self.region(memory, iova, 64, 5000, e.IBV_ACCESS_REMOTE_READ)
        key = self.rereg(region, REREG_ACCESS, access=ALL)[1]
        self.round_trip(key, iova, 5000)
        self.assertEqual(memory.read(SIZE, 0), bytes(64) + b"x" * 5000 + bytes(SIZE - 5064))

    def test_other_protection_domain(self):
        mr = MR(self.pd, SIZE, ALL)
        other = PD(self.ctx)
        self.rereg(mr, REREG_PD, pd=other)
        self.assertEqual(self.rdma(mr.rkey, mr.buf), e.IBV_WC_REM_ACCESS_ERR)
        self.near, self.far = self.pair()
        self.rereg(mr, REREG_PD, pd=self.pd)
        self.round_trip(mr.rkey, mr.buf)
        other.close()

    def test_other_memory(self):
        mr, memory = MR(self.pd, 4096, ALL), MR(self.pd, SIZE, ALL)
        old = mr.rkey
        key = self.rereg(mr, REREG_TRANS, memory.buf, SIZE)[1]
        self.round_trip(key, memory.buf)
        self.assertEqual(memory.read(SIZE, 0), b"x" * SIZE)
        self.assertEqual(self.rdma(old, mr.buf), e.IBV_WC_REM_ACCESS_ERR)

    def test_other_memory_at_an_address_of_its_own(self):
        mr, memory = MR(self.pd, 4096, ALL), MR(self.pd, SIZE, ALL)
        iova = 0x5000_0000_0000
        key = self.rereg(mr, REREG_TRANS, memory.buf, SIZE, iova=iova)[1]
        self.round_trip(key, iova)
        self.assertEqual(memory.read(SIZE, 0), b"x" * SIZE)
        self.assertEqual(self.rdma(key, memory.buf), e.IBV_WC_REM_ACCESS_ERR)

    def test_nothing_there(self):
        mr = MR(self.pd, SIZE, ALL)
        self.raises(errno.EFAULT, self.rereg, mr, REREG_TRANS, 4096, SIZE)
        self.round_trip(mr.rkey, mr.buf)

    def test_not_while_a_window_leads_there(self):
        mr, memory, other = MR(self.pd, SIZE, ALL | e.IBV_ACCESS_MW_BIND), self.reachable(), PD(self.ctx)
        window = MW(self.pd, e.IBV_MW_TYPE_2)
        bind = SendWR(opcode=e.IBV_WR_BIND_MW)
        bind.set_bind_wr(window, MWBindInfo(mr, mr.buf, SIZE, REMOTE))
        key = bind.rkey
        self.assertEqual(self.post(self.far, bind), e.IBV_WC_SUCCESS)
        for flags, what in ((REREG_ACCESS, {"access": 0}), (REREG_PD, {"pd": other}),
                            (REREG_TRANS, {"address": memory.buf, "length": SIZE})):
            self.raises(errno.EBUSY, self.rereg, mr, flags, **what)
        self.round_trip(key, mr.buf)
        self.round_trip(mr.rkey, mr.buf)
        window.close()
        self.rereg(mr, REREG_ACCESS, access=e.IBV_ACCESS_LOCAL_WRITE)
        self.assertEqual(self.rdma(mr.rkey, mr.buf), e.IBV_WC_REM_ACCESS_ERR)
        other.close()
