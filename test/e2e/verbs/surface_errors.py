# SPDX-License-Identifier: Apache-2.0
"""Operations and errors of reliable connections, between two queue pairs of one process, and what counts them."""

import time
from contextlib import closing

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
DEPTH = 16
REMOTE = e.IBV_ACCESS_REMOTE_WRITE | e.IBV_ACCESS_REMOTE_READ
RETRY_EXCEEDED = e.IBV_WC_RETRY_EXC_ERR

SENDS = (e.IBV_WR_SEND, e.IBV_WR_SEND_WITH_IMM)
# The last one is signalled, so that all are done when it is.
UNSIGNALLED = (e.IBV_WR_SEND, e.IBV_WR_SEND, e.IBV_WR_RDMA_WRITE, e.IBV_WR_SEND_WITH_IMM,
               e.IBV_WR_RDMA_WRITE_WITH_IMM, e.IBV_WR_RDMA_WRITE, e.IBV_WR_RDMA_READ)
SIGNALLED = (e.IBV_WR_RDMA_WRITE, e.IBV_WR_SEND, e.IBV_WR_RDMA_READ)
# ... and what counts them: WRITEs with immediate data take receives as well
OPERATIONS = {"rdma_sends": 4, "rdma_recvs": 5, "out_of_seq_request": 0, "rcvd_seq_err": 0,
              "send_rnr_err": 0, "rcvd_rnr_err": 0, "send_err": 0}


class Pair:
    """
    near sends to far; far expects PSN, near begins with it plus ahead; patient about a slow guest. To be closed whatever
    happens: rxe cannot be deleted before.
    """

    def __init__(self, device, gid_index, ahead=0, receives=1, patient=False):
        self.patient = patient
        self.context = Context(name=device)
        self.pd = PD(self.context)
        self.mr = MR(self.pd, SIZE, e.IBV_ACCESS_LOCAL_WRITE | REMOTE)
        self.near, self.near_cq = self.queue_pair()
        self.far, self.far_cq = self.queue_pair()
        self.connect(self.near, self.far, gid_index, PSN + ahead)
        self.connect(self.far, self.near, gid_index, PSN)
        for _ in range(receives):
            self.far.post_recv(RecvWR(num_sge=1, sg=[self.sge()]))

    def queue_pair(self):
        cq = CQ(self.context, 2 * DEPTH)
        cap = QPCap(max_send_wr=DEPTH, max_recv_wr=DEPTH)
        init = QPInitAttr(qp_type=e.IBV_QPT_RC, scq=cq, rcq=cq, cap=cap, sq_sig_all=0)
        return QP(self.pd, init), cq

    def connect(self, qp, peer, gid_index, first):
        attr = QPAttr(port_num=1)
        attr.dest_qp_num = peer.qp_num
        attr.path_mtu = e.IBV_MTU_1024
        attr.qp_access_flags = REMOTE
        attr.rq_psn, attr.sq_psn = PSN, first
        attr.max_rd_atomic = attr.max_dest_rd_atomic = 1
        # 16 ms, once more, or 1 s; a receiver that is not ready says so for 0.01 ms
        attr.timeout, attr.retry_cnt = (18, 7) if self.patient else (12, 1)
        attr.rnr_retry, attr.min_rnr_timer = 1, 1
        route = GlobalRoute(dgid=self.context.query_gid(1, gid_index), sgid_index=gid_index)
        attr.ah_attr = AHAttr(port_num=1, is_global=1, gr=route, dlid=0)
        qp.to_rts(attr)

    def sge(self):
        return SGE(self.mr.buf, SIZE, self.mr.lkey)

    def post(self, opcode=e.IBV_WR_SEND, signalled=True, rkey=None):
        wr = SendWR(opcode=opcode, num_sge=1, sg=[self.sge()],
                    send_flags=e.IBV_SEND_SIGNALED if signalled else 0)
        if opcode not in SENDS:
            wr.set_wr_rdma(self.mr.rkey if rkey is None else rkey, self.mr.buf)
        self.near.post_send(wr)

    def send(self, status, **what):
        """Sends, and the completion must have this status."""
        self.post(**what)
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


def operations(device, gid_index):
    with closing(Pair(device, gid_index, receives=DEPTH, patient=True)) as pair:
        for opcode in UNSIGNALLED:
            pair.post(opcode, signalled=False)
        for opcode in SIGNALLED:
            pair.send(e.IBV_WC_SUCCESS, opcode=opcode)


def not_ready(device, gid_index):
    with closing(Pair(device, gid_index, receives=0)) as pair:
        pair.send(e.IBV_WC_RNR_RETRY_EXC_ERR)


def no_answer(device, gid_index):
    with closing(Pair(device, gid_index)) as pair:
        pair.far.close()
        pair.send(e.IBV_WC_RETRY_EXC_ERR)


def ahead(device, gid_index):
    with closing(Pair(device, gid_index, ahead=2)) as pair:
        pair.send(e.IBV_WC_RETRY_EXC_ERR)


def behind(device, gid_index):
    """The responder has it already, and acknowledges that."""
    with closing(Pair(device, gid_index, ahead=-1)) as pair:
        pair.send(e.IBV_WC_SUCCESS)


def no_access(device, gid_index):
    """Ends the connection by a NAK that has nothing to do with sequence."""
    with closing(Pair(device, gid_index)) as pair:
        pair.send(e.IBV_WC_REM_ACCESS_ERR, opcode=e.IBV_WR_RDMA_WRITE, rkey=pair.mr.rkey ^ 1)


def refused(device, gid_index):
    """Why a pair with this GID cannot be connected, as an errno, or 0 if it can."""
    try:
        Pair(device, gid_index).close()
    except PyverbsRDMAError as error:
        return error.error_code
    return 0


# name, how, counters that move, and some of those that do not
ERRORS = (
    ("receiver not ready", not_ready,
     "send_rnr_err rcvd_rnr_err retry_rnr_exceeded_err req_cqe_error",
     "rcvd_seq_err sent_seq_err out_of_seq_request send_err rdma_recvs"),
    ("no answer", no_answer,
     "retry_exceeded_err local_ack_timeout_err completer_retry_err no_qp req_cqe_error",
     "rcvd_seq_err out_of_seq_request rcvd_rnr_err send_err rdma_recvs"),
    ("PSN ahead", ahead, "out_of_seq_request sent_seq_err sent_naks",
     "duplicate_request send_rnr_err send_err rdma_recvs"),
    ("PSN behind", behind, "duplicate_request rdma_sends",
     "out_of_seq_request rcvd_seq_err rdma_recvs req_cqe_error"),
    ("no access", no_access, "sent_naks rcvd_naks req_cqe_error",
     "sent_seq_err rcvd_seq_err out_of_seq_request send_err rdma_sends"),
)
# rxe acknowledges a message before the first one by a PSN that its requester does not know
NOT_ON_RXE = ("PSN behind",)
