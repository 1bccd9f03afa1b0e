# SPDX-License-Identifier: Apache-2.0
"""Regions in dma-bufs, by raw uverbs calls: no librxe has an entry for them. Runs inside pyverbs' suite."""

import errno
import fcntl
import mmap
import os
import struct

from pyverbs import enums as e
from pyverbs.wr import SGE, SendWR
from tests.tbib_pair import ALL, SIZE
from tests.tbib_uverbs import register_dmabuf
from tests.test_tbib_regions import RegionTest

# linux/dma-heap.h, linux/udmabuf.h
DMA_HEAP_IOCTL_ALLOC = 0xc0184800
UDMABUF_CREATE = 0x40187542


def from_heap(size, mode=os.O_RDWR):
    with open("/dev/dma_heap/system", "rb") as heap:
        data = bytearray(struct.pack("=QIIQ", size, 0, mode | os.O_CLOEXEC, 0))
        fcntl.ioctl(heap, DMA_HEAP_IOCTL_ALLOC, data, True)
    return struct.unpack("=QIIQ", data)[1]


def from_memfd(size):
    memory = os.memfd_create("tbib", os.MFD_ALLOW_SEALING)
    os.ftruncate(memory, size)
    fcntl.fcntl(memory, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
    with open("/dev/udmabuf", "rb") as device:
        fd = fcntl.ioctl(device, UDMABUF_CREATE, bytearray(struct.pack("=IIQQ", memory, 1, 0, size)), True)
    os.close(memory)
    return fd


class DmabufTest(RegionTest):
    def buffer(self, make, size, *more):
        fd = make(size, *more)
        self.addCleanup(os.close, fd)
        return fd

    def region(self, fd, offset=0, length=SIZE, iova=None, access=ALL):
        self.regions.append(register_dmabuf(self.ctx, self.pd, fd, offset, length,
                                            offset if iova is None else iova, access))
        return self.regions[-1]

    def carries(self, make):
        fd = self.buffer(make, SIZE)
        self.round_trip(self.region(fd).rkey, 0)
        with mmap.mmap(fd, SIZE) as bytes_:
            self.assertEqual(bytes_[:], b"x" * SIZE)

    def test_dma_heap(self):
        self.carries(from_heap)

    def test_udmabuf(self):
        self.carries(from_memfd)

    def part(self, make, iova):
        """Neither its beginning nor its end is that of a page."""
        fd = self.buffer(make, 4 * 4096)
        region = self.region(fd, 4096 + 512, 4099, iova)
        self.round_trip(region.rkey, iova, 4099)
        with mmap.mmap(fd, 4 * 4096) as bytes_:
            self.assertEqual(bytes_[:], bytes(4608) + b"x" * 4099 + bytes(4 * 4096 - 4608 - 4099))
        for start, size in ((-1, 1), (4099, 1), (0, 4100)):
            near, _ = self.pair()
            self.assertEqual(self.rdma(region.rkey, iova + start, size, side=near), e.IBV_WC_REM_ACCESS_ERR)

    def test_part_of_a_heap_buffer(self):
        self.part(from_heap, 4096 + 512)

    def test_part_of_a_udmabuf(self):
        self.part(from_memfd, 4096 + 512)

    def test_part_at_an_address_of_its_own(self):
        self.part(from_heap, 0x7654_3210_0000 + 512)

    def test_within_the_page_as_in_the_buffer(self):
        fd = self.buffer(from_heap, SIZE)
        self.raises(errno.EINVAL, self.region, fd, 0, 4096, 512)
        self.raises(errno.EINVAL, self.region, fd, 512, 4096, 4096)

    def test_local_source_and_destination(self):
        fd, peer = self.buffer(from_heap, 4 * SIZE), self.reachable()
        region = self.region(fd, 4096 + 40, 3 * SIZE, 40)
        data = os.urandom(SIZE)
        peer.write(data, SIZE)
        sge = SGE(40 + 1000, SIZE, region.lkey)
        self.assertEqual(self.move(e.IBV_WR_RDMA_READ, peer.rkey, peer.buf, sge), e.IBV_WC_SUCCESS)
        with mmap.mmap(fd, 4 * SIZE) as bytes_:
            self.assertEqual(bytes_[:], bytes(5136) + data + bytes(3 * SIZE - 5136))
        peer.write(bytes(SIZE), SIZE)
        self.assertEqual(self.move(e.IBV_WR_RDMA_WRITE, peer.rkey, peer.buf, sge), e.IBV_WC_SUCCESS)
        self.assertEqual(peer.read(SIZE, 0), data)

    def test_ends_where_it_ends(self):
        region = self.region(self.buffer(from_heap, SIZE))
        self.assertEqual(self.rdma(region.rkey, 1, SIZE), e.IBV_WC_REM_ACCESS_ERR)

    def test_longer_than_the_buffer(self):
        fd = self.buffer(from_heap, SIZE)
        for offset, length in ((0, SIZE + 1), (4096, 4097), (SIZE, 1), (8192, 2 ** 64 - 4096), (0, 0)):
            self.raises(errno.EINVAL, self.region, fd, offset, length)

    def test_that_is_read_only(self):
        """A program that may not write to the buffer does not get there by way of us."""
        fd = self.buffer(from_heap, SIZE, os.O_RDONLY)
        for access in (ALL, e.IBV_ACCESS_LOCAL_WRITE, ALL | e.IBV_ACCESS_REMOTE_ATOMIC):
            self.raises(errno.EACCES, self.region, fd, access=access)
        region = self.region(fd, access=e.IBV_ACCESS_REMOTE_READ)
        self.mr.write("-" * SIZE, SIZE)
        self.assertEqual(self.rdma(region.rkey, 0, SIZE, e.IBV_WR_RDMA_READ), e.IBV_WC_SUCCESS)
        self.assertEqual(self.mr.read(SIZE, 0), bytes(SIZE))
        self.assertEqual(self.rdma(region.rkey, 0), e.IBV_WC_REM_ACCESS_ERR)
        near, _ = self.pair()
        self.assertEqual(self.move(e.IBV_WR_RDMA_READ, self.reachable().rkey, 0, SGE(0, 8, region.lkey), near),
                         e.IBV_WC_LOC_PROT_ERR)

    def test_that_is_write_only(self):
        fd = self.buffer(from_heap, SIZE, os.O_WRONLY)
        for access in (0, e.IBV_ACCESS_REMOTE_READ, ALL):
            self.raises(errno.EACCES, self.region, fd, access=access)

    def test_rights(self):
        fd = self.buffer(from_heap, SIZE)
        self.raises(errno.EINVAL, self.region, fd, access=e.IBV_ACCESS_REMOTE_WRITE)     # without local writes
        region = self.region(fd, access=e.IBV_ACCESS_LOCAL_WRITE | e.IBV_ACCESS_REMOTE_WRITE)
        self.assertEqual(self.rdma(region.rkey, 0), e.IBV_WC_SUCCESS)
        self.assertEqual(self.rdma(region.rkey, 0, op=e.IBV_WR_RDMA_READ), e.IBV_WC_REM_ACCESS_ERR)

    def test_not_a_file(self):
        self.raises(errno.EBADF, self.region, 999)

    def test_not_a_dmabuf(self):
        self.raises(errno.EINVAL, self.region, self.buffer(os.memfd_create, "tbib"))

    def test_deregistered_and_closed(self):
        fd = from_heap(SIZE)
        region = self.region(fd)
        os.close(fd)
        self.round_trip(region.rkey, 0)
        self.regions.remove(region)
        region.close()
        self.assertEqual(self.rdma(region.rkey, 0), e.IBV_WC_REM_ACCESS_ERR)

    def test_deregistered_while_it_is_used(self):
        """What was under way ends in an error, and nothing that the process is given back is written to."""
        fd = self.buffer(from_heap, 1 << 20)
        source = self.reachable(1 << 20)
        interrupted = 0
        for op in (e.IBV_WR_RDMA_WRITE, e.IBV_WR_RDMA_READ) * 20:
            source.write("y" * (1 << 20), 1 << 20)
            region = self.region(fd, 0, 1 << 20)
            near, _ = self.pair()
            for n in range(8):
                wr = SendWR(n, op, 1, sg=[SGE(source.buf, 1 << 20, source.lkey)])
                wr.set_wr_rdma(region.rkey, 0)
                near[0].post_send(wr)
            self.regions.remove(region)
            region.close()
            with mmap.mmap(fd, 1 << 20) as bytes_:
                bytes_[:] = bytes(1 << 20)
                seen = [self.status(near) for _ in range(8)]
                self.assertEqual(bytes_[:], bytes(1 << 20))
            done = seen.count(e.IBV_WC_SUCCESS)
            errors = [e.IBV_WC_REM_ACCESS_ERR] + [e.IBV_WC_WR_FLUSH_ERR] * 7
            self.assertEqual(seen[done:], errors[:8 - done])
            interrupted += 0 < done < 8
        self.assertGreater(interrupted, 0)
