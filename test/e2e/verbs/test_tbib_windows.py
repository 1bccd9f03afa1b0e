# SPDX-License-Identifier: Apache-2.0
"""Memory windows where pyverbs' own tests do not look: who may use one, and for what. Runs inside its suite."""

import errno

from pyverbs import enums as e
from pyverbs.mr import MR, MW, MWBind, MWBindInfo
from pyverbs.pyverbs_error import PyverbsRDMAError
from pyverbs.wr import SGE, RecvWR, SendWR
from tests.tbib_pair import REMOTE, SIZE, PairTest

MAY_BIND = e.IBV_ACCESS_LOCAL_WRITE | e.IBV_ACCESS_MW_BIND


class WindowTest(PairTest):
    ACCESS = MAY_BIND

    def setUp(self):
        super().setUp()
        self.windows = []

    def bind(self, side, mw, mr=None, offset=0, length=SIZE, access=REMOTE):
        """Status and the new rkey."""
        mr = mr or self.mr
        wr = SendWR(opcode=e.IBV_WR_BIND_MW)
        wr.set_bind_wr(mw, MWBindInfo(mr, mr.buf + offset, length, access))
        return self.post(side, wr), wr.rkey

    def bound(self, side, mw, **what):
        status, key = self.bind(side, mw, **what)
        self.assertEqual(status, e.IBV_WC_SUCCESS)
        return key

    def window(self, kind=e.IBV_MW_TYPE_2):
        self.windows.append(MW(self.pd, kind))   # pyverbs deallocates what nobody holds
        return self.windows[-1]

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
        stranger, other = self.pair()
        sges = [SGE(self.mr.buf, 64, self.mr.lkey)]
        other[0].post_recv(RecvWR(num_sge=1, sg=sges))
        wr = SendWR(opcode=e.IBV_WR_SEND_WITH_INV, num_sge=1, sg=sges)
        wr.imm_data = key
        self.assertEqual(self.post(stranger, wr), e.IBV_WC_REM_ACCESS_ERR)
        self.assertEqual(self.rdma(key, self.mr.buf), e.IBV_WC_SUCCESS)

    def test_type_2_is_bound_once(self):
        mw = self.window()
        self.bound(self.far, mw)
        self.assertEqual(self.bind(self.far, mw)[0], e.IBV_WC_MW_BIND_ERR)

    def test_type_1_old_key_is_void(self):
        mw = self.window(e.IBV_MW_TYPE_1)
        keys = []
        for length in (SIZE, 64):
            info = MWBindInfo(self.mr, self.mr.buf, length, REMOTE)
            self.far[0].bind_mw(mw, MWBind(info, e.IBV_SEND_SIGNALED))
            self.assertEqual(self.status(self.far), e.IBV_WC_SUCCESS)
            keys.append(mw.rkey)
        self.assertEqual(self.rdma(keys[1], self.mr.buf), e.IBV_WC_SUCCESS)
        self.assertEqual(self.rdma(keys[0], self.mr.buf), e.IBV_WC_REM_ACCESS_ERR)

    def test_region_must_allow_it(self):
        mr = MR(self.pd, SIZE, e.IBV_ACCESS_LOCAL_WRITE)
        self.assertEqual(self.bind(self.far, self.window(), mr=mr)[0], e.IBV_WC_MW_BIND_ERR)

    def test_writes_need_local_writes(self):
        mr = MR(self.pd, SIZE, e.IBV_ACCESS_MW_BIND)
        self.assertEqual(self.bind(self.far, self.window(), mr=mr)[0], e.IBV_WC_MW_BIND_ERR)

    def test_not_beyond_the_region(self):
        self.assertEqual(self.bind(self.far, self.window(), offset=1)[0], e.IBV_WC_MW_BIND_ERR)

    def test_region_in_use_stays(self):
        mr = MR(self.pd, SIZE, MAY_BIND)
        mw = self.window()
        self.bound(self.far, mw, mr=mr)
        with self.assertRaises(PyverbsRDMAError) as raised:
            mr.close()
        self.assertEqual(raised.exception.error_code, errno.EBUSY)
        mw.close()
        mr.close()
