# SPDX-License-Identifier: Apache-2.0
"""Errors of reliable connections, provoked between two queue pairs of one process."""

import time

from pyverbs import enums as e
from pyverbs.addr import AHAttr, GlobalRoute
from pyverbs.cq import CQ
from pyverbs.device import Context
from pyverbs.mr import MR
from pyverbs.pd import PD
from pyverbs.pyverbs_error import PyverbsRDMAError
from pyverbs.qp import QP, QPAttr, QPCap, QPInitAttr
from pyverbs.wr import SGE, RecvWR, SendWR

SIZE = 64
PSN = 1000


class Pair:
    """near sends to far; far expects PSN, near begins with it plus ahead."""

    def __init__(self, device, gid_index, ahead=0, receives=1):
        self.context = Context(name=device)
        self.pd = PD(self.context)
        self.mr = MR(self.pd, SIZE, e.IBV_ACCESS_LOCAL_WRITE)
        self.near, self.near_cq = self.queue_pair()
        self.far, self.far_cq = self.queue_pair()
        self.connect(self.near, self.far, gid_index, PSN + ahead)
        self.connect(self.far, self.near, gid_index, PSN)
        for _ in range(receives):
            self.far.post_recv(RecvWR(num_sge=1, sg=[self.sge()]))

    def queue_pair(self):
        cq = CQ(self.context, 16)
        cap = QPCap(max_send_wr=4, max_recv_wr=4)
        return QP(self.pd, QPInitAttr(qp_type=e.IBV_QPT_RC, scq=cq, rcq=cq, cap=cap)), cq

    def connect(self, qp, peer, gid_index, first):
        attr = QPAttr(port_num=1)
        attr.dest_qp_num = peer.qp_num
        attr.path_mtu = e.IBV_MTU_1024
        attr.rq_psn, attr.sq_psn = PSN, first
        attr.max_rd_atomic = attr.max_dest_rd_atomic = 1
        # 16 ms, once more; a receiver that is not ready says so for 0.01 ms
        attr.timeout, attr.retry_cnt, attr.rnr_retry, attr.min_rnr_timer = 12, 1, 1, 1
        route = GlobalRoute(dgid=self.context.query_gid(1, gid_index), sgid_index=gid_index)
        attr.ah_attr = AHAttr(port_num=1, is_global=1, gr=route, dlid=0)
        qp.to_rts(attr)

    def sge(self):
        return SGE(self.mr.buf, SIZE, self.mr.lkey)

    def send(self, status):
        """Sends, and the completion must have this status."""
        self.near.post_send(SendWR(opcode=e.IBV_WR_SEND, num_sge=1, sg=[self.sge()]))
        end = time.monotonic() + 20
        while time.monotonic() < end:
            n, completions = self.near_cq.poll(1)
            if n:
                if completions[0].status != status:
                    raise ValueError(f"completed with {completions[0].status}, not {status}")
                return
        raise ValueError("no completion")

    def close(self):
        for thing in (self.near, self.far, self.near_cq, self.far_cq, self.mr, self.pd,
                      self.context):
            thing.close()


def not_ready(device, gid_index):
    pair = Pair(device, gid_index, receives=0)
    pair.send(e.IBV_WC_RNR_RETRY_EXC_ERR)
    pair.close()


def no_answer(device, gid_index):
    pair = Pair(device, gid_index)
    pair.far.close()
    pair.send(e.IBV_WC_RETRY_EXC_ERR)
    pair.close()


def ahead(device, gid_index):
    pair = Pair(device, gid_index, ahead=2)
    pair.send(e.IBV_WC_RETRY_EXC_ERR)
    pair.close()


def behind(device, gid_index):
    """The responder has it already, and acknowledges that."""
    pair = Pair(device, gid_index, ahead=-1)
    pair.send(e.IBV_WC_SUCCESS)
    pair.close()


def refused(device, gid_index):
    """Why a pair with this GID cannot be connected, as an errno, or 0 if it can."""
    try:
        Pair(device, gid_index).close()
    except PyverbsRDMAError as error:
        return error.error_code
    return 0


# name, how, counters that move
ERRORS = (
    ("receiver not ready", not_ready,
     "send_rnr_err rcvd_rnr_err retry_rnr_exceeded_err"),
    ("no answer", no_answer,
     "retry_exceeded_err local_ack_timeout_err completer_retry_err no_qp"),
    ("PSN ahead", ahead, "out_of_seq_request sent_seq_err"),
    ("PSN behind", behind, "duplicate_request"),
)
