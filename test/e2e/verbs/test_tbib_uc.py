# SPDX-License-Identifier: Apache-2.0
"""Windows of unreliable connections, which give and take access as reliable ones do. Runs inside pyverbs' suite."""

from pyverbs import enums as e
from pyverbs.wr import SGE, RecvWR
from tests.tbib_window import WindowCase


class UnreliableTest(WindowCase):
    """IBTA 10.8.2: UC binds and invalidates windows too. Who writes hears nothing of what is refused."""

    def setUp(self):
        super().setUp()
        self.near, self.far = self.pair(kind=e.IBV_QPT_UC)

    def written(self, key, byte):
        """Does what is written arrive? The message behind it has come when we look."""
        self.mr.write(bytes(64), 64, 4096)
        self.mr.write(byte * 64, 64)
        self.assertEqual(self.rdma(key, self.mr.buf + 4096), e.IBV_WC_SUCCESS)
        self.far[0].post_recv(RecvWR(num_sge=1, sg=[SGE(self.mr.buf + 1024, 64, self.mr.lkey)]))
        self.post_send_only(self.near)
        self.assertEqual(self.status(self.near), e.IBV_WC_SUCCESS)
        self.assertEqual(self.status(self.far), e.IBV_WC_SUCCESS)
        return self.mr.read(64, 4096) == byte.encode() * 64

    def test_bound_and_invalidated(self):
        key = self.bound(self.far, self.window())
        self.assertTrue(self.written(key, "a"))
        self.assertEqual(self.invalidate(self.far, key), e.IBV_WC_SUCCESS)
        self.assertFalse(self.written(key, "b"))
        self.assertTrue(self.written(self.bound(self.far, self.window()), "c"))
        self.assertFalse(self.written(key, "d"))

    def test_type_1(self):
        mw = self.window(e.IBV_MW_TYPE_1)
        key = self.bound_1(self.far, mw)
        self.assertTrue(self.written(key, "a"))
        self.bound_1(self.far, mw, length=0)
        self.assertFalse(self.written(key, "b"))

    def test_not_a_key(self):
        self.assertEqual(self.invalidate(self.far, 0x12345678), e.IBV_WC_LOC_QP_OP_ERR)
