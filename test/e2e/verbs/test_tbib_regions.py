# SPDX-License-Identifier: Apache-2.0
"""Regions that no librxe has an entry for, by raw uverbs calls: reregistered ones and dma-bufs. In the pyverbs suite."""

import ctypes
import errno
import fcntl
import mmap
import os
import struct

from pyverbs import enums as e
from pyverbs.mr import MR
from pyverbs.pd import PD
from tests.tbib_pair import REMOTE, SIZE, PairTest

# rdma/ib_user_verbs.h
CMD_REREG_MR = 11
TRANS, NEW_PD, ACCESS = 1, 2, 4

# rdma/rdma_user_ioctl_cmds.h, ib_user_ioctl_cmds.h, ib_user_ioctl_verbs.h
RDMA_VERBS_IOCTL = 0xc0181b01
OBJECT_MR, MR_DESTROY, REG_DMABUF_MR = 7, 1, 4
DRIVER_RXE = 14
MANDATORY = 1

# linux/dma-heap.h, linux/udmabuf.h
DMA_HEAP_IOCTL_ALLOC = 0xc0184800
UDMABUF_CREATE = 0x40187542

ALL = e.IBV_ACCESS_LOCAL_WRITE | REMOTE


def ioctl_verbs(fd, method, attributes):
    """attributes: (id, length, data). Returns the buffer after the call."""
    buffer = bytearray(struct.pack("=HHHHQII", 24 + 16 * len(attributes), OBJECT_MR, method,
                                   len(attributes), 0, DRIVER_RXE, 0))
    for number, length, data in attributes:
        buffer += struct.pack("=HHHHQ", number, length, MANDATORY, 0, data)
    fcntl.ioctl(fd, RDMA_VERBS_IOCTL, buffer, True)
    return buffer


class DmabufRegion:
    """A dma-buf that is registered; its bytes are seen by mmap."""

    def __init__(self, test, fd, size=SIZE, offset=0, access=ALL):
        self.cmd_fd = test.ctx.cmd_fd
        keys = (ctypes.c_uint32 * 2)()
        address = ctypes.addressof(keys)
        done = ioctl_verbs(self.cmd_fd, REG_DMABUF_MR, [
            (0, 0, 0), (1, 0, test.pd.handle), (2, 8, offset), (3, 8, size), (4, 8, offset),
            (5, 4, fd), (6, 4, access), (7, 4, address), (8, 4, address + 4)])
        self.handle = struct.unpack_from("=Q", done, 24 + 8)[0]
        self.key = keys[1]

    def close(self):
        ioctl_verbs(self.cmd_fd, MR_DESTROY, [(0, 0, self.handle)])


def from_heap(size):
    with open("/dev/dma_heap/system", "rb") as heap:
        data = bytearray(struct.pack("=QIIQ", size, 0, os.O_RDWR | os.O_CLOEXEC, 0))
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


class RegionTest(PairTest):
    def raises(self, number, action, *arguments, **more):
        with self.assertRaises(OSError) as raised:
            action(*arguments, **more)
        self.assertEqual(raised.exception.errno, number)

    def round_trip(self, key, address, length=SIZE):
        """Bytes that were written there come back, and may be read."""
        self.mr.write("x" * length, length)
        self.assertEqual(self.rdma(key, address, length), e.IBV_WC_SUCCESS)
        self.mr.write("-" * length, length)
        self.assertEqual(self.rdma(key, address, length, e.IBV_WR_RDMA_READ), e.IBV_WC_SUCCESS)
        self.assertEqual(self.mr.read(length, 0), b"x" * length)


class DmabufTest(RegionTest):
    def setUp(self):
        super().setUp()
        self.regions = []

    def tearDown(self):
        for region in self.regions:     # before the protection domain
            region.close()
        super().tearDown()

    def region(self, make, size=SIZE, **what):
        self.fd = make(what.get("offset", 0) + size)
        self.addCleanup(os.close, self.fd)
        self.regions.append(DmabufRegion(self, self.fd, size, **what))
        return self.regions[-1]

    def carries(self, make):
        region = self.region(make)
        self.round_trip(region.key, 0)
        with mmap.mmap(self.fd, SIZE) as bytes_:
            self.assertEqual(bytes_[:], b"x" * SIZE)

    def test_dma_heap(self):
        self.carries(from_heap)

    def test_udmabuf(self):
        self.carries(from_memfd)

    def test_offset(self):
        region = self.region(from_heap, size=4096, offset=4096 + 512)
        self.round_trip(region.key, 4096 + 512, 4096)
        with mmap.mmap(self.fd, 12288) as bytes_:
            self.assertEqual(bytes_[:4608], bytes(4608))
            self.assertEqual(bytes_[4608:8704], b"x" * 4096)

    def test_ends_where_it_ends(self):
        region = self.region(from_heap)
        self.assertEqual(self.rdma(region.key, 1, SIZE), e.IBV_WC_REM_ACCESS_ERR)

    def test_longer_than_the_buffer(self):
        fd = from_heap(SIZE)
        self.addCleanup(os.close, fd)
        self.raises(errno.EINVAL, DmabufRegion, self, fd, size=SIZE + 1)
        self.raises(errno.EINVAL, DmabufRegion, self, fd, size=2 ** 64 - 4096, offset=8192)

    def test_not_a_file(self):
        self.raises(errno.EBADF, DmabufRegion, self, 999)

    def test_not_a_dmabuf(self):
        fd = os.memfd_create("tbib")
        self.addCleanup(os.close, fd)
        self.raises(errno.EINVAL, DmabufRegion, self, fd)

    def test_deregistered_and_closed(self):
        fd = from_heap(SIZE)
        region = DmabufRegion(self, fd)
        os.close(fd)
        self.round_trip(region.key, 0)
        region.close()
        self.assertEqual(self.rdma(region.key, 0), e.IBV_WC_REM_ACCESS_ERR)


class ReregTest(RegionTest):
    def rereg(self, mr, flags, address=0, length=0, pd=None, access=0):
        """Returns both keys."""
        answer = (ctypes.c_uint32 * 2)()
        command = struct.pack("=IHHQIIQQQII", CMD_REREG_MR, 14, 2, ctypes.addressof(answer),
                              mr.handle, flags, address, length, address,
                              pd.handle if pd else 0, access)
        os.write(self.ctx.cmd_fd, command)
        return tuple(answer)

    def test_other_rights(self):
        mr = MR(self.pd, SIZE, e.IBV_ACCESS_LOCAL_WRITE)
        self.assertEqual(self.rereg(mr, ACCESS, access=ALL), (mr.lkey, mr.rkey))
        self.round_trip(mr.rkey, mr.buf)
        self.rereg(mr, ACCESS, access=e.IBV_ACCESS_LOCAL_WRITE)
        self.assertEqual(self.rdma(mr.rkey, mr.buf), e.IBV_WC_REM_ACCESS_ERR)

    def test_writable_from_now_on(self):
        mr = MR(self.pd, SIZE, e.IBV_ACCESS_REMOTE_READ)
        key = self.rereg(mr, ACCESS, access=ALL)[1]
        self.round_trip(key, mr.buf)

    def test_other_protection_domain(self):
        mr = MR(self.pd, SIZE, ALL)
        other = PD(self.ctx)
        self.rereg(mr, NEW_PD, pd=other)
        self.assertEqual(self.rdma(mr.rkey, mr.buf), e.IBV_WC_REM_ACCESS_ERR)
        self.near, self.far = self.pair()
        self.rereg(mr, NEW_PD, pd=self.pd)
        self.round_trip(mr.rkey, mr.buf)
        other.close()

    def test_other_memory(self):
        mr, memory = MR(self.pd, 4096, ALL), MR(self.pd, SIZE, ALL)
        old = mr.rkey
        key = self.rereg(mr, TRANS, memory.buf, SIZE)[1]
        self.round_trip(key, memory.buf)
        self.assertEqual(memory.read(SIZE, 0), b"x" * SIZE)
        self.assertEqual(self.rdma(old, mr.buf), e.IBV_WC_REM_ACCESS_ERR)

    def test_nothing_there(self):
        mr = MR(self.pd, SIZE, ALL)
        self.raises(errno.EFAULT, self.rereg, mr, TRANS, 4096, SIZE)
        self.round_trip(mr.rkey, mr.buf)
