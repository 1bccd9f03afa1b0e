# SPDX-License-Identifier: Apache-2.0
"""Memory windows where pyverbs' own tests do not look: who may use one, and for what. Runs inside its suite."""

import contextlib
import errno
import json
import os
import signal
import struct
import subprocess

from pyverbs import enums as e
from pyverbs.mr import MR, MWBind, MWBindInfo
from pyverbs.pd import PD
from pyverbs.wr import SGE, SendWR
from tests.tbib_pair import REMOTE, SIZE
from tests.tbib_window import WindowCase


class WindowTest(WindowCase):
    def test_ends_where_it_ends(self):
        key = self.bound(self.far, self.window(), offset=1024, length=1024)
        start = self.mr.buf + 1024
        self.assertEqual(self.rdma(key, start, 1024), e.IBV_WC_SUCCESS)
        self.assertEqual(self.rdma(key, start, 1024, e.IBV_WR_RDMA_READ), e.IBV_WC_SUCCESS)
        self.assertEqual(self.rdma(key, start + 1, 1024), e.IBV_WC_REM_ACCESS_ERR)

    def test_begins_where_it_begins(self):
        key = self.bound(self.far, self.window(), offset=1024, length=1024)
        self.assertEqual(self.rdma(key, self.mr.buf + 1024, 8), e.IBV_WC_SUCCESS)
        self.assertEqual(self.rdma(key, self.mr.buf + 1023, 8), e.IBV_WC_REM_ACCESS_ERR)

    def test_zero_based(self):
        access = REMOTE | e.IBV_ACCESS_ZERO_BASED
        key = self.bound(self.far, self.window(), offset=4096, length=1024, access=access)
        self.mr.write("a" * 64, 64)
        self.assertEqual(self.rdma(key, 960), e.IBV_WC_SUCCESS)
        self.assertEqual(self.mr.read(64, 4096 + 960), b"a" * 64)
        self.assertEqual(self.rdma(key, 961), e.IBV_WC_REM_ACCESS_ERR)

    def test_read_only(self):
        key = self.bound(self.far, self.window(), access=e.IBV_ACCESS_REMOTE_READ)
        self.assertEqual(self.rdma(key, self.mr.buf, op=e.IBV_WR_RDMA_READ), e.IBV_WC_SUCCESS)
        self.assertEqual(self.rdma(key, self.mr.buf), e.IBV_WC_REM_ACCESS_ERR)

    def test_type_2_is_for_one_queue_pair(self):
        key = self.bound(self.far, self.window())
        stranger, _ = self.pair()
        self.assertEqual(self.rdma(key, self.mr.buf, side=stranger), e.IBV_WC_REM_ACCESS_ERR)
        self.assertEqual(self.rdma(key, self.mr.buf), e.IBV_WC_SUCCESS)

    def test_a_stranger_does_not_invalidate(self):
        key = self.bound(self.far, self.window())
        self.assertEqual(self.send_inv(key, self.pair()), e.IBV_WC_REM_ACCESS_ERR)
        self.assertEqual(self.rdma(key, self.mr.buf), e.IBV_WC_SUCCESS)

    def test_type_2_is_bound_once(self):
        mw = self.window()
        self.bound(self.far, mw)
        self.assertEqual(self.bind(self.far, mw)[0], e.IBV_WC_MW_BIND_ERR)

    def test_type_1_old_key_is_void(self):
        mw = self.window(e.IBV_MW_TYPE_1)
        keys = [self.bound_1(self.far, mw, length=length) for length in (SIZE, 64)]
        self.assertEqual(self.rdma(keys[1], self.mr.buf), e.IBV_WC_SUCCESS)
        self.assertEqual(self.rdma(keys[0], self.mr.buf), e.IBV_WC_REM_ACCESS_ERR)

    def test_region_must_allow_it(self):
        mr = self.region(e.IBV_ACCESS_LOCAL_WRITE)
        self.assertEqual(self.bind(self.far, self.window(), mr=mr)[0], e.IBV_WC_MW_BIND_ERR)

    def test_writes_need_local_writes(self):
        mr = self.region(e.IBV_ACCESS_MW_BIND)
        self.assertEqual(self.bind(self.far, self.window(), mr=mr)[0], e.IBV_WC_MW_BIND_ERR)

    def test_not_beyond_the_region(self):
        for offset, length in ((1, SIZE), (-1, 8), (0, SIZE + 1), (SIZE, 1), (0, 2 ** 64 - 1), (4096, 2 ** 64 - 4096)):
            _, far = self.pair()
            self.assertEqual(self.bind(far, self.window(), offset=offset, length=length)[0], e.IBV_WC_MW_BIND_ERR)

    def in_use(self, mr):
        self.raises(errno.EBUSY, mr.close)

    def test_region_in_use_stays(self):
        mr = self.region()
        mw = self.window()
        self.bound(self.far, mw, mr=mr)
        self.in_use(mr)
        mw.close()
        mr.close()

    def test_region_is_free_when_the_window_is_not_bound(self):
        mr, mw = self.region(), self.window()
        key = self.bound(self.far, mw, mr=mr)
        self.in_use(mr)
        self.assertEqual(self.invalidate(self.far, key), e.IBV_WC_SUCCESS)
        mr.close()

    def test_region_is_in_use_when_the_queue_pair_is_gone(self):
        mr, mw = self.region(), self.window()
        _, far = self.pairs[0]
        self.bound(self.far, mw, mr=mr)
        far.close()
        self.in_use(mr)
        mw.close()
        mr.close()

    def test_deallocated_while_bound(self):
        for kind, bound in ((e.IBV_MW_TYPE_1, self.bound_1), (e.IBV_MW_TYPE_2, self.bound)):
            mr, mw = self.region(), self.window(kind)
            near, far = self.pair()
            key = bound(far, mw, mr=mr)
            self.assertEqual(self.rdma(key, mr.buf, side=near), e.IBV_WC_SUCCESS)
            mw.close()
            self.assertEqual(self.rdma(key, mr.buf, side=near), e.IBV_WC_REM_ACCESS_ERR)
            mr.close()

    def test_process_ends_while_they_are_bound(self):
        """Its regions go although windows lead to them, in whichever order they were made."""
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            with contextlib.suppress(Exception):
                parents = dict(vars(self))      # which must not be closed here
                WindowCase.setUp(self)
                mw = self.window()
                self.bound(self.far, mw, mr=self.region())
                self.bound(self.far, self.window(), mr=self.regions[0])
                os.write(writer, b"bound")
                signal.pause()
                parents.clear()
            os._exit(1)
        os.close(writer)
        self.assertEqual(os.read(reader, 5), b"bound")
        os.close(reader)
        self.assertEqual(self.regions_of(child), 2)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        self.assertEqual(self.regions_of(child), 0)

    @staticmethod
    def regions_of(pid):
        shown = subprocess.run(["rdma", "-j", "resource", "show", "mr"], check=True, stdout=subprocess.PIPE).stdout
        return sum(mr.get("pid") == pid for mr in json.loads(shown))


class InvalidateTest(WindowCase):
    """IBTA 10.6.7.2.6 and 9.4.1.1: type 2 windows are invalidated, and belong to one queue pair (2B)."""

    def test_device_says_2b(self):
        flags = self.attr.device_cap_flags
        self.assertTrue(flags & e.IBV_DEVICE_MEM_WINDOW and flags & e.IBV_DEVICE_MEM_WINDOW_TYPE_2B)
        self.assertFalse(flags & e.IBV_DEVICE_MEM_WINDOW_TYPE_2A)

    def test_by_its_owner(self):
        mw = self.window()
        key = self.bound(self.far, mw)
        self.assertEqual(self.invalidate(self.far, key), e.IBV_WC_SUCCESS)
        self.closed(key)

    def test_by_the_peer(self):
        key = self.bound(self.far, self.window())
        self.assertEqual(self.send_inv(key), e.IBV_WC_SUCCESS)
        wc = self.completion(self.far)
        self.assertEqual((wc.status, wc.wc_flags & e.IBV_WC_WITH_INV, wc.imm_data),
                         (e.IBV_WC_SUCCESS, e.IBV_WC_WITH_INV, key))
        self.assertEqual(self.rdma(key, self.mr.buf), e.IBV_WC_REM_ACCESS_ERR)

    def test_by_the_peer_twice(self):
        key = self.bound(self.far, self.window())
        self.assertEqual(self.send_inv(key), e.IBV_WC_SUCCESS)
        self.assertEqual(self.send_inv(key), e.IBV_WC_REM_ACCESS_ERR)

    def test_not_with_another_key(self):
        key = self.bound(self.far, self.window())
        _, other = self.pair()
        self.assertEqual(self.invalidate(other, key ^ 1), e.IBV_WC_LOC_QP_OP_ERR)
        self.assertEqual(self.rdma(key, self.mr.buf), e.IBV_WC_SUCCESS)
        self.assertEqual(self.send_inv(key ^ 1), e.IBV_WC_REM_ACCESS_ERR)

    def test_not_of_type_1(self):
        key = self.bound_1(self.far, self.window(e.IBV_MW_TYPE_1))
        _, other = self.pair()
        self.assertEqual(self.invalidate(other, key), e.IBV_WC_LOC_QP_OP_ERR)
        self.assertEqual(self.send_inv(key, self.pair()), e.IBV_WC_REM_ACCESS_ERR)
        self.assertEqual(self.rdma(key, self.mr.buf), e.IBV_WC_SUCCESS)

    def test_not_of_another_protection_domain(self):
        key = self.bound(self.far, self.window())
        other = PD(self.ctx)
        _, stranger = self.pair(pd=other)
        self.assertEqual(self.invalidate(stranger, key), e.IBV_WC_LOC_QP_OP_ERR)
        self.assertEqual(self.rdma(key, self.mr.buf), e.IBV_WC_SUCCESS)

    def test_of_a_region_of_a_program(self):
        """Only fast registrations of the kernel are invalidated, a program's region is deregistered."""
        mr = self.reachable()
        _, far = self.pair()
        self.assertEqual(self.invalidate(far, mr.rkey), e.IBV_WC_LOC_QP_OP_ERR)
        self.assertEqual(self.send_inv(mr.rkey, self.pair()), e.IBV_WC_REM_ACCESS_ERR)
        self.assertEqual(self.rdma(mr.rkey, mr.buf), e.IBV_WC_SUCCESS)


class KindTest(WindowCase):
    """IBTA 10.6.7.2: what either type may be bound to, and by whom."""

    def test_type_1_is_for_the_protection_domain(self):
        key = self.bound_1(self.far, self.window(e.IBV_MW_TYPE_1))
        stranger, _ = self.pair()
        self.assertEqual(self.rdma(key, self.mr.buf, side=stranger), e.IBV_WC_SUCCESS)

    def test_neither_is_for_another_protection_domain(self):
        other = PD(self.ctx)
        local = MR(other, 64, e.IBV_ACCESS_LOCAL_WRITE)
        for kind, bound in ((e.IBV_MW_TYPE_1, self.bound_1), (e.IBV_MW_TYPE_2, self.bound)):
            key = bound(self.far, self.window(kind))
            stranger, _ = self.pair(pd=other)
            self.assertEqual(self.move(e.IBV_WR_RDMA_WRITE, key, self.mr.buf, SGE(local.buf, 8, local.lkey), stranger),
                             e.IBV_WC_REM_ACCESS_ERR)

    def test_window_region_and_queue_pair_are_of_one_protection_domain(self):
        other = PD(self.ctx)
        mr = self.region(pd=other)
        for kind in (e.IBV_MW_TYPE_1, e.IBV_MW_TYPE_2):
            for what, pd in (({"mr": mr}, None), ({}, other), ({"mr": mr}, other)):
                _, far = self.pair()
                self.assertEqual(self.bind(far, self.window(kind, pd), **what)[0], e.IBV_WC_MW_BIND_ERR, what)
        _, stranger = self.pair(pd=other)
        self.bound(stranger, self.window(pd=other), mr=mr)

    def test_type_1_is_not_zero_based(self):
        access = REMOTE | e.IBV_ACCESS_ZERO_BASED
        mw = self.window(e.IBV_MW_TYPE_1)
        info = MWBindInfo(self.mr, self.mr.buf, SIZE, access)
        self.raises(errno.EINVAL, self.far[0].bind_mw, mw, MWBind(info, e.IBV_SEND_SIGNALED))   # by librxe
        self.assertEqual(self.bind(self.far, mw, access=access)[0], e.IBV_WC_MW_BIND_ERR)

    def test_type_1_is_unbound_by_binding_it_to_nothing(self):
        mr, mw = self.region(), self.window(e.IBV_MW_TYPE_1)
        old = self.bound_1(self.far, mw, mr)
        self.raises(errno.EBUSY, mr.close)
        new = self.bound_1(self.far, mw, mr, length=0)
        mr.close()
        self.closed(old)
        self.closed(new)
        self.assertEqual(self.rdma(self.bound_1(self.far, mw), self.mr.buf), e.IBV_WC_SUCCESS)

    def test_type_2_is_not_bound_to_nothing(self):
        self.assertEqual(self.bind(self.far, self.window(), length=0)[0], e.IBV_WC_MW_BIND_ERR)

    def test_rights_are_those_of_peers(self):
        """A window has no right that only its owner could use."""
        for access in (e.IBV_ACCESS_MW_BIND, 1 << 19):
            _, far = self.pair()
            self.assertEqual(self.bind(far, self.window(), access=REMOTE | access)[0], e.IBV_WC_MW_BIND_ERR)


class WindowAtomicTest(WindowCase):
    ATOMIC = e.IBV_ACCESS_REMOTE_ATOMIC

    def value(self, offset):
        return struct.unpack("=Q", self.mr.read(8, offset))[0]

    def test_right_to_them(self):
        mr = self.region()    # peers have no right to the region itself
        for kind, bound in ((e.IBV_MW_TYPE_1, self.bound_1), (e.IBV_MW_TYPE_2, self.bound)):
            near, far = self.pair()
            key = bound(far, self.window(kind), mr=mr, offset=4096, length=16, access=self.ATOMIC)
            mr.write(struct.pack("=QQ", 1, 40), 16, 4096)
            self.assertEqual(self.fetch_add(key, mr.buf + 4104, 2, near), e.IBV_WC_SUCCESS)
            self.assertEqual(self.value(0), 40)
            self.assertEqual(struct.unpack("=QQ", mr.read(16, 4096)), (1, 42))
            self.assertEqual(self.fetch_add(key, mr.buf + 4112, 2, near), e.IBV_WC_REM_ACCESS_ERR)
            self.assertEqual(struct.unpack("=Q", mr.read(8, 4112)), (0,))

    def test_compare_and_swap(self):
        key = self.bound(self.far, self.window(), access=self.ATOMIC)
        self.mr.write(struct.pack("=Q", 7), 8, 4096)
        for compare, swap, then in ((6, 1, 7), (7, 9, 9)):
            wr = SendWR(opcode=e.IBV_WR_ATOMIC_CMP_AND_SWP, num_sge=1, sg=[SGE(self.mr.buf, 8, self.mr.lkey)])
            wr.set_wr_atomic(key, self.mr.buf + 4096, compare, swap)
            self.assertEqual(self.post(self.near, wr), e.IBV_WC_SUCCESS)
            self.assertEqual((self.value(0), self.value(4096)), (7, then))

    def test_no_right_to_them(self):
        key = self.bound(self.far, self.window(), access=REMOTE)
        self.assertEqual(self.rdma(key, self.mr.buf), e.IBV_WC_SUCCESS)
        self.assertEqual(self.fetch_add(key, self.mr.buf, 1), e.IBV_WC_REM_ACCESS_ERR)

    def test_no_right_to_anything_else(self):
        key = self.bound(self.far, self.window(), access=self.ATOMIC)
        self.assertEqual(self.rdma(key, self.mr.buf), e.IBV_WC_REM_ACCESS_ERR)

    def test_they_need_local_writes(self):
        mr = self.region(e.IBV_ACCESS_MW_BIND)
        self.assertEqual(self.bind(self.far, self.window(), mr=mr, access=self.ATOMIC)[0], e.IBV_WC_MW_BIND_ERR)

    def test_zero_based(self):
        access = self.ATOMIC | e.IBV_ACCESS_ZERO_BASED
        key = self.bound(self.far, self.window(), offset=4096, length=64, access=access)
        self.assertEqual(self.fetch_add(key, 56, 5), e.IBV_WC_SUCCESS)
        self.assertEqual(self.value(4096 + 56), 5)
        self.assertEqual(self.fetch_add(key, 64, 5), e.IBV_WC_REM_ACCESS_ERR)

    def test_zero_based_and_not_aligned_in_memory(self):
        access = self.ATOMIC | e.IBV_ACCESS_ZERO_BASED
        key = self.bound(self.far, self.window(), offset=4100, length=64, access=access)
        self.assertEqual(self.fetch_add(key, 0, 5), e.IBV_WC_REM_OP_ERR)
        self.assertEqual(self.mr.read(64, 4096), bytes(64))
