# SPDX-License-Identifier: Apache-2.0
"""The state SQE: an error of an unreliable queue pair stops its send queue only. Runs inside pyverbs' suite."""

import errno

from pyverbs import enums as e
from pyverbs.addr import AH
from pyverbs.qp import QPAttr
from pyverbs.wr import SGE, RecvWR, SendWR
from tests.tbib_pair import SIZE, PairTest

RESET, INIT, RTR, RTS = e.IBV_QPS_RESET, e.IBV_QPS_INIT, e.IBV_QPS_RTR, e.IBV_QPS_RTS
SQD, SQE, ERR = e.IBV_QPS_SQD, e.IBV_QPS_SQE, e.IBV_QPS_ERR
NO_KEY = 0x12345678
GRH = 40
LENGTH = 64
ROUND = 20      # more than the send queue has slots, so that it wraps


class SqeTest(PairTest):
    KIND = e.IBV_QPT_RC

    def setUp(self):
        super().setUp()
        self.near, self.far = self.pair(kind=self.KIND)
        self.ah = AH(self.pd, attr=self.own_address())

    def send(self, number, lkey=None, length=LENGTH, side=None):
        """Posts a message and does not wait for it."""
        side, peer = (self.far, self.near) if side is self.far else (self.near, self.far)
        wr = SendWR(number, num_sge=1, sg=[SGE(self.mr.buf, length, lkey or self.mr.lkey)])
        if self.KIND == e.IBV_QPT_UD:
            wr.set_wr_ud(self.ah, peer[0].qp_num, 0)
        side[0].post_send(wr)

    def receive(self, side, number=0):
        side[0].post_recv(RecvWR(number, num_sge=1, sg=[SGE(self.mr.buf + SIZE // 2, SIZE // 2, self.mr.lkey)]))

    def ends(self, side, *wanted):
        """The next completions: number and status of each."""
        completions = [self.completion(side) for _ in wanted]
        self.assertEqual([(wc.wr_id, wc.status) for wc in completions], list(wanted))

    def arrived(self, text):
        """The newest message, at whichever side it is."""
        start = SIZE // 2 + (GRH if self.KIND == e.IBV_QPT_UD else 0)
        self.assertEqual(self.mr.read(len(text), start), text.encode())

    def state(self, side=None):
        attr, _ = (side or self.near)[0].query(e.IBV_QP_STATE)
        self.assertEqual(attr.cur_qp_state, attr.qp_state)
        return attr.qp_state

    def fail(self, number=1):
        self.send(number, NO_KEY)
        self.ends(self.near, (number, e.IBV_WC_LOC_PROT_ERR))

    def go(self, state, mask=0, side=None, **values):
        attr = QPAttr()
        attr.qp_state = state
        for name, value in values.items():
            setattr(attr, name, value)
        (side or self.near)[0].modify(attr, e.IBV_QP_STATE | mask)

    def to_rts(self):
        self.go(RTS, e.IBV_QP_CUR_STATE, cur_qp_state=SQE)
        self.assertEqual(self.state(), RTS)

    def sends_arrive(self, count, letter="x"):
        for n in range(count):
            text = f"{letter}{n:{LENGTH - 1}}"
            self.mr.write(text, LENGTH)
            self.receive(self.far, n)
            self.send(n)
            self.ends(self.near, (n, e.IBV_WC_SUCCESS))
            self.ends(self.far, (n, e.IBV_WC_SUCCESS))
            self.arrived(text)


class ReliableTest(SqeTest):
    def test_has_no_such_state(self):
        self.fail()
        self.assertEqual(self.state(), ERR)


class Unreliable:
    """What holds for connections and for datagrams."""

    def test_what_was_posted_before_and_behind(self):
        self.receive(self.far)
        for number, key in ((1, None), (2, NO_KEY), (3, None), (4, NO_KEY)):
            self.send(number, key)
        self.ends(self.near, (1, e.IBV_WC_SUCCESS), (2, e.IBV_WC_LOC_PROT_ERR), (3, e.IBV_WC_WR_FLUSH_ERR),
                  (4, e.IBV_WC_WR_FLUSH_ERR))
        self.assertEqual((self.state(), self.state(self.far)), (SQE, RTS))
        self.ends(self.far, (0, e.IBV_WC_SUCCESS))

    def test_what_is_posted_then_is_flushed(self):
        self.receive(self.far)
        self.fail()
        for number in range(ROUND):
            self.send(number)
            self.ends(self.near, (number, e.IBV_WC_WR_FLUSH_ERR))
        self.assertEqual(self.state(), SQE)
        self.assertEqual(self.far[1].poll(1)[0], 0)

    def test_receives_go_on(self):
        self.receive(self.near, 7)
        self.fail()
        self.receive(self.near, 8)
        for number in (7, 8):
            self.mr.write(f"{number}" * LENGTH, LENGTH)
            self.send(0, side=self.far)
            self.ends(self.far, (0, e.IBV_WC_SUCCESS))
            self.ends(self.near, (number, e.IBV_WC_SUCCESS))
            self.arrived(f"{number}" * LENGTH)
        self.assertEqual(self.state(), SQE)

    def test_back_to_rts(self):
        for letter in "abc":
            self.fail()
            for number in range(ROUND):
                self.send(number)
                self.ends(self.near, (number, e.IBV_WC_WR_FLUSH_ERR))
            self.to_rts()
            self.sends_arrive(ROUND, letter)
        self.assertEqual(self.far[1].poll(1)[0], 0)

    def test_back_to_rts_without_a_word_of_where_from(self):
        self.fail()
        self.go(RTS)
        self.sends_arrive(1)

    def test_a_wrong_word_of_where_from(self):
        self.fail()
        for state in (RTS, SQD):
            self.raises(errno.EINVAL, self.go, RTS, e.IBV_QP_CUR_STATE, cur_qp_state=state)
        self.assertEqual(self.state(), SQE)

    def test_ways_that_there_are_not(self):
        self.raises(errno.EINVAL, self.go, SQE)
        self.assertEqual(self.state(), RTS)
        self.fail()
        for state in (INIT, RTR, SQD, SQE):
            self.raises(errno.EINVAL, self.go, state)
            self.assertEqual(self.state(), SQE)
        self.to_rts()
        self.sends_arrive(1)

    def test_to_err(self):
        self.receive(self.near, 5)
        self.fail()
        self.assertEqual(self.near[1].poll(1)[0], 0)
        self.go(ERR)
        self.assertEqual(self.state(), ERR)
        self.ends(self.near, (5, e.IBV_WC_WR_FLUSH_ERR))
        self.send(6)
        self.ends(self.near, (6, e.IBV_WC_WR_FLUSH_ERR))

    def test_to_reset_and_all_the_way(self):
        self.fail()
        self.go(RESET)
        self.assertEqual(self.state(), RESET)
        self.near[0].to_rts(self.connection(self.far[0]))
        self.sends_arrive(ROUND)

    def test_what_waited_in_sqd(self):
        self.go(SQD)
        self.send(1, NO_KEY)
        self.assertEqual((self.state(), self.near[1].poll(1)[0]), (SQD, 0))
        self.go(RTS)
        self.ends(self.near, (1, e.IBV_WC_LOC_PROT_ERR))
        self.assertEqual(self.state(), SQE)
        self.to_rts()
        self.sends_arrive(1)


class ConnectionTest(Unreliable, SqeTest):
    KIND = e.IBV_QPT_UC

    def test_a_local_operation_that_fails(self):
        wr = SendWR(3, opcode=e.IBV_WR_LOCAL_INV)
        wr.imm_data = NO_KEY
        self.near[0].post_send(wr)
        self.ends(self.near, (3, e.IBV_WC_LOC_QP_OP_ERR))
        self.assertEqual(self.state(), SQE)
        self.to_rts()
        self.sends_arrive(1)


class DatagramTest(Unreliable, SqeTest):
    KIND = e.IBV_QPT_UD

    def test_more_than_fits_a_packet(self):
        mtu = 128 << self.ctx.query_port(1).active_mtu
        self.receive(self.far)
        self.send(1, length=mtu + 1)
        self.ends(self.near, (1, e.IBV_WC_LOC_LEN_ERR))
        self.assertEqual((self.state(), self.far[1].poll(1)[0]), (SQE, 0))
        self.to_rts()
        self.sends_arrive(1)
