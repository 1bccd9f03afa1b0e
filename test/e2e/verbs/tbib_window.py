# SPDX-License-Identifier: Apache-2.0
"""Memory windows, bound and invalidated: what our own tests of them in the pyverbs suite stand on."""

from pyverbs import enums as e
from pyverbs.mr import MR, MW, MWBind, MWBindInfo
from pyverbs.wr import SGE, RecvWR, SendWR
from tests.tbib_pair import REMOTE, SIZE, PairTest

MAY_BIND = e.IBV_ACCESS_LOCAL_WRITE | e.IBV_ACCESS_MW_BIND


class WindowCase(PairTest):
    ACCESS = MAY_BIND

    def setUp(self):
        super().setUp()
        self.windows = []
        self.regions = []

    def tearDown(self):
        for thing in self.windows + self.regions:   # in this order, and before the protection domain
            thing.close()
        super().tearDown()

    def region(self, access=MAY_BIND, pd=None):
        self.regions.append(MR(pd or self.pd, SIZE, access))
        return self.regions[-1]

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

    def window(self, kind=e.IBV_MW_TYPE_2, pd=None):
        self.windows.append(MW(pd or self.pd, kind))
        return self.windows[-1]

    def bound_1(self, side, mw, mr=None, offset=0, length=SIZE, access=REMOTE):
        """Type 1 has a call of its own, and librxe counts its keys."""
        mr = mr or self.mr
        side[0].bind_mw(mw, MWBind(MWBindInfo(mr, mr.buf + offset, length, access), e.IBV_SEND_SIGNALED))
        self.assertEqual(self.status(side), e.IBV_WC_SUCCESS)
        return mw.rkey

    def invalidate(self, side, key):
        wr = SendWR(opcode=e.IBV_WR_LOCAL_INV)
        wr.imm_data = key
        return self.post(side, wr)

    def send_inv(self, key, sides=None):
        near, far = sides or (self.near, self.far)
        sges = [SGE(self.mr.buf, 64, self.mr.lkey)]
        far[0].post_recv(RecvWR(num_sge=1, sg=sges))
        wr = SendWR(opcode=e.IBV_WR_SEND_WITH_INV, num_sge=1, sg=sges)
        wr.imm_data = key
        return self.post(near, wr)

    def closed(self, key):
        """Nobody comes in by this key; on a connection of its own."""
        near, _ = self.pair()
        self.assertEqual(self.rdma(key, self.mr.buf, side=near), e.IBV_WC_REM_ACCESS_ERR)
