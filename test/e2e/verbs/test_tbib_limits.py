# SPDX-License-Identifier: Apache-2.0
"""Limits: as much as the device says there is, and no more. Runs inside pyverbs' suite."""

import array
import contextlib
import errno
import os
import re
import resource
import struct
import subprocess

from pyverbs import enums as e
from pyverbs.cq import CQ
from pyverbs.device import Context
from pyverbs.mr import MR
from pyverbs.pd import PD
from pyverbs.pyverbs_error import PyverbsError, PyverbsRDMAError
from pyverbs.qp import QP, QPCap, QPInitAttr
from pyverbs.srq import SRQ, SrqAttr, SrqInitAttr
from pyverbs.wr import SGE, RecvWR, SendWR
from tests.base import PyverbsAPITestCase
from tests.tbib_pair import SIZE, PairTest
from tests.tbib_uverbs import CMD_ATTACH_MCAST, CMD_DETACH_MCAST, multicast

MAX_INLINE = 512        # no attribute of a device tells it
NOBODY = 65534
PIECE = 128 << 20       # 32 of them are more than any message
# rdma/ib_user_verbs.h
CMD_ALLOC_PD, CMD_DEALLOC_PD = 3, 4
OF_THE_KERNEL = 64      # protection domains at most


class LimitTest(PyverbsAPITestCase):
    def setUp(self):
        super().setUp()
        self.pd = PD(self.ctx)
        self.limits = self.ctx.query_device()

    def refused(self, call, code=errno.EINVAL):
        with self.assertRaises(PyverbsRDMAError) as caught:
            call()
        self.assertEqual(caught.exception.error_code, code)

    def granted(self, kind=e.IBV_QPT_RC, **cap):
        """What a queue pair gets that asks for this."""
        cq = CQ(self.ctx, 1)
        qp = QP(self.pd, QPInitAttr(qp_type=kind, scq=cq, rcq=cq, cap=QPCap(**cap)))
        got = qp.query(e.IBV_QP_CAP)[1].cap
        qp.close()
        return got

    def check_capability(self, name, limit):
        for asked in (1, limit // 2 + 1, limit):
            got = getattr(self.granted(**{name: asked}), name)
            self.assertTrue(asked <= got <= limit, f"{name}: asked for {asked}, got {got}")
        self.refused(lambda: self.granted(**{name: limit + 1}))

    def test_requests(self):
        for name in "max_send_wr", "max_recv_wr":
            self.check_capability(name, self.limits.max_qp_wr)

    def test_elements(self):
        for name in "max_send_sge", "max_recv_sge":
            self.check_capability(name, self.limits.max_sge)

    def test_inline(self):
        self.check_capability("max_inline_data", MAX_INLINE)

    def test_all_at_once(self):
        limit = self.limits
        got = self.granted(max_send_wr=limit.max_qp_wr, max_recv_wr=limit.max_qp_wr,
                           max_send_sge=limit.max_sge, max_recv_sge=limit.max_sge,
                           max_inline_data=MAX_INLINE)
        self.assertEqual((got.max_send_wr, got.max_recv_wr, got.max_send_sge, got.max_recv_sge,
                          got.max_inline_data),
                         (limit.max_qp_wr, limit.max_qp_wr, limit.max_sge, limit.max_sge, MAX_INLINE))

    def test_completions(self):
        limit = self.limits.max_cqe
        for asked in 1, 1000, limit:
            cq = CQ(self.ctx, asked)
            self.assertTrue(asked <= cq.cqe <= limit, f"asked for {asked}, got {cq.cqe}")
            cq.close()
        self.refused(lambda: CQ(self.ctx, limit + 1))
        cq = CQ(self.ctx, 1)
        self.refused(lambda: cq.resize(limit + 1))
        cq.resize(limit)

    def test_bytes_of_a_region(self):
        # one program cannot have as many pinned, and is told before anything is
        limit = self.limits.max_mr_size
        self.assertTrue(1 << 36 <= limit < 1 << 48, hex(limit))
        mr = MR(self.pd, 4096, e.IBV_ACCESS_LOCAL_WRITE)
        for length in limit + 1, 1 << 48, (1 << 64) - 4096:
            self.refused(lambda length=length: MR(self.pd, length, e.IBV_ACCESS_LOCAL_WRITE, address=mr.buf))

    def srq(self, wr=1, sge=1):
        return SRQ(self.pd, SrqInitAttr(SrqAttr(max_wr=wr, max_sge=sge)))

    def test_shared_receives(self):
        limit = self.limits.max_srq_wr
        for asked in 1, limit // 2 + 1, limit:
            srq = self.srq(asked)
            got = srq.query().max_wr
            self.assertTrue(asked <= got <= limit, f"asked for {asked}, got {got}")
            srq.close()
        self.refused(lambda: self.srq(limit + 1))
        srq = self.srq()
        self.refused(lambda: srq.modify(SrqAttr(max_wr=limit + 1), e.IBV_SRQ_MAX_WR))
        srq.modify(SrqAttr(max_wr=limit), e.IBV_SRQ_MAX_WR)
        self.assertEqual(srq.query().max_wr, limit)

    def test_elements_of_shared_receives(self):
        limit = self.limits.max_srq_sge
        self.assertEqual(self.srq(sge=limit).query().max_sge, limit)
        self.refused(lambda: self.srq(sge=limit + 1))

    def test_as_many_receives_as_granted(self):
        srq = self.srq(100)
        wr = RecvWR(num_sge=1, sg=[SGE(0, 0, 0)])
        for _ in range(srq.query().max_wr):
            srq.post_recv(wr)
        self.refused(lambda: srq.post_recv(wr), errno.ENOMEM)

    def test_protection_domains(self):
        """As many as there may be. The other kinds have too many for here: see verbs_scale_limits.cpp."""
        answer = array.array("I", [0])
        address = answer.buffer_info()[0]
        made = []

        def make():
            os.write(self.ctx.cmd_fd, struct.pack("=IHHQ", CMD_ALLOC_PD, 4, 1, address))
            made.append(answer[0])

        def end():
            os.write(self.ctx.cmd_fd, struct.pack("=IHHI", CMD_DEALLOC_PD, 3, 0, made.pop()))

        limit = self.limits.max_pd
        for _ in range(2):
            with self.assertRaises(OSError) as caught:
                while len(made) <= limit:
                    make()
            self.assertEqual(caught.exception.errno, errno.ENOMEM)
            self.assertTrue(limit - OF_THE_KERNEL <= len(made) < limit, len(made))
            for _ in range(100):
                end()

    def join(self, handle, number, command=CMD_ATTACH_MCAST):
        """A multicast group of a number. Returns an errno, or 0."""
        try:
            multicast(self.ctx, command, handle, struct.pack(">HIIIH", 0xff0e, 0, 0, number, 1))
        except OSError as error:
            return error.errno
        return 0

    def of_groups(self, count):
        """UD queue pairs, as handles: a number that is another object's is refused."""
        cq = CQ(self.ctx, 1)
        self.members = [QP(self.pd, QPInitAttr(qp_type=e.IBV_QPT_UD, scq=cq, rcq=cq, cap=QPCap()))
                        for _ in range(count)]
        handles = [handle for handle in range(2 * count + 8) if self.join(handle, 1) == 0]
        self.assertEqual(len(handles), count)
        for handle in handles:
            self.join(handle, 1, CMD_DETACH_MCAST)
        return handles

    def test_members_of_a_group(self):
        limit = self.limits.max_mcast_qp_attach
        handles = self.of_groups(limit)
        cq = CQ(self.ctx, 1)
        more = QP(self.pd, QPInitAttr(qp_type=e.IBV_QPT_UD, scq=cq, rcq=cq, cap=QPCap()))
        self.assertEqual({self.join(handle, 2) for handle in handles}, {0})
        # who is in it already may join again
        refused = [handle for handle in range(max(handles) + 9) if self.join(handle, 2) == errno.ENOMEM]
        self.assertEqual(len(refused), 1)
        self.join(handles[0], 2, CMD_DETACH_MCAST)
        self.assertEqual(self.join(refused[0], 2), 0)
        for handle in handles[1:] + refused:
            self.assertEqual(self.join(handle, 2, CMD_DETACH_MCAST), 0)
        more.close()

    def test_groups(self):
        limit = self.limits.max_mcast_grp
        handle = self.of_groups(1)[0]
        done = 0
        while done <= limit and (error := self.join(handle, done + 2)) == 0:
            done += 1
        self.assertEqual((done, error), (limit, errno.ENOMEM))
        for number in range(done):
            self.assertEqual(self.join(handle, number + 2, CMD_DETACH_MCAST), 0)

    def test_what_programs_ask_for(self):
        """What storage, MPI, NCCL and libfabric take for granted; less of it, and they do not start.
        A region may be as large as twice the memory of the largest mini PC, 128 GiB."""
        for name, floor in (("max_qp", 1000), ("max_qp_wr", 8192), ("max_sge", 16), ("max_cq", 1000),
                            ("max_cqe", 32768), ("max_mr", 65536), ("max_mr_size", 1 << 38), ("max_pd", 1000),
                            ("max_ah", 1000), ("max_srq", 1000), ("max_srq_wr", 8192), ("max_mw", 1000),
                            ("max_qp_rd_atom", 16), ("max_qp_init_rd_atom", 16), ("max_mcast_grp", 1)):
            self.assertGreaterEqual(getattr(self.limits, name), floor, name)
        self.assertGreaterEqual(self.granted(max_inline_data=256).max_inline_data, 256)
        port = self.ctx.query_port(1)
        self.assertGreaterEqual(port.max_msg_sz, 1 << 31)
        self.assertEqual((port.max_mtu, port.active_mtu), (e.IBV_MTU_4096, e.IBV_MTU_4096))


class LongListTest(PairTest):
    def wide(self, count):
        """A pair whose requests have as many elements as there may be."""
        sides = []
        for _ in range(2):
            cq = CQ(self.ctx, 8)
            cap = QPCap(max_send_wr=4, max_recv_wr=4, max_send_sge=count, max_recv_sge=count,
                        max_inline_data=MAX_INLINE)
            sides.append((QP(self.pd, QPInitAttr(qp_type=e.IBV_QPT_RC, scq=cq, rcq=cq, cap=cap)), cq))
        (near, _), (far, _) = sides
        near.to_rts(self.connection(far))
        far.to_rts(self.connection(near))
        return sides

    def test_the_longest_list(self):
        count = self.ctx.query_device().max_sge
        near, far = self.wide(count)
        # elements of 5 bytes, gathered from the first half and scattered into the second
        text = bytes(97 + n % 26 for n in range(5 * count))
        gather, scatter = ([SGE(self.mr.buf + start + 7 * n, 5, self.mr.lkey) for n in range(count)]
                           for start in (0, SIZE // 2))
        for n in range(count):
            self.mr.write(text[5 * n:5 * n + 5].decode(), 5, 7 * n)
        far[0].post_recv(RecvWR(num_sge=count, sg=scatter))
        self.assertEqual(self.post(near, SendWR(num_sge=count, sg=gather)), e.IBV_WC_SUCCESS)
        self.assertEqual(self.completion(far).byte_len, 5 * count)
        for n in range(count):
            self.assertEqual(self.mr.read(5, SIZE // 2 + 7 * n), text[5 * n:5 * n + 5])
        more = gather + [SGE(self.mr.buf, 1, self.mr.lkey)]
        with self.assertRaises(PyverbsRDMAError):
            near[0].post_send(SendWR(num_sge=count + 1, sg=more))

    def test_the_longest_inline(self):
        near, far = self.wide(1)
        text = "".join(chr(97 + n % 26) for n in range(MAX_INLINE))
        self.mr.write(text, MAX_INLINE)
        far[0].post_recv(RecvWR(num_sge=1, sg=[SGE(self.mr.buf + SIZE // 2, MAX_INLINE, self.mr.lkey)]))
        wr = SendWR(num_sge=1, sg=[SGE(self.mr.buf, MAX_INLINE, 0)],
                    send_flags=e.IBV_SEND_SIGNALED | e.IBV_SEND_INLINE)
        self.assertEqual(self.post(near, wr), e.IBV_WC_SUCCESS)
        self.assertEqual(self.completion(far).byte_len, MAX_INLINE)
        self.assertEqual(self.mr.read(MAX_INLINE, SIZE // 2), text.encode())
        wr = SendWR(num_sge=1, sg=[SGE(self.mr.buf, MAX_INLINE + 1, 0)], send_flags=e.IBV_SEND_INLINE)
        with self.assertRaises(PyverbsRDMAError):
            near[0].post_send(wr)

    def test_the_longest_message(self):
        """As long as may be is refused by the peer, which has no room for it; longer ones do not get there."""
        longest = self.ctx.query_port(1).max_msg_sz
        source, target = MR(self.pd, PIECE, e.IBV_ACCESS_LOCAL_WRITE), self.reachable()
        for length, status, state in ((longest, e.IBV_WC_REM_ACCESS_ERR, e.IBV_QPS_ERR),
                                      (longest + 1, e.IBV_WC_LOC_LEN_ERR, e.IBV_QPS_RTS),
                                      (2 * longest, e.IBV_WC_LOC_LEN_ERR, e.IBV_QPS_RTS)):     # 0 in 32 bits
            pieces = [PIECE] * (length // PIECE) + [length % PIECE] * (length % PIECE > 0)
            near, far = self.wide(len(pieces))
            wr = SendWR(opcode=e.IBV_WR_RDMA_WRITE, num_sge=len(pieces),
                        sg=[SGE(source.buf, piece, source.lkey) for piece in pieces])
            wr.set_wr_rdma(target.rkey, target.buf)
            self.assertEqual(self.post(near, wr), status, length)
            self.assertEqual(near[0].query(e.IBV_QP_STATE)[0].qp_state, e.IBV_QPS_ERR)
            self.assertEqual(far[0].query(e.IBV_QP_STATE)[0].qp_state, state, length)


class OthersLimitTest(PyverbsAPITestCase):
    """Limits that are not ours but the kernel's, for a process or a group of them."""

    @staticmethod
    def pinned():
        with open("/proc/self/status", encoding="ascii") as status:
            return int(re.search(r"VmPin:\s+(\d+) kB", status.read()).group(1)) * 1024

    def region(self, size):
        return MR(self.pd, size, e.IBV_ACCESS_LOCAL_WRITE)

    def too_much(self, size):
        with self.assertRaises(PyverbsRDMAError) as caught:
            self.region(size)
        self.assertEqual(caught.exception.error_code, errno.ENOMEM)

    def test_locked_memory(self):
        self.pd = PD(self.ctx)
        limit = 1 << 20
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (limit, limit))
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)       # each test has a process of its own
        self.assertEqual(self.pinned(), 0)
        self.too_much(limit + 4096)
        self.assertEqual(self.pinned(), 0)
        half = self.region(limit // 2)
        self.assertEqual(self.pinned(), limit // 2)
        self.too_much(limit // 2 + 4096)
        other = self.region(limit // 2)
        self.assertEqual(self.pinned(), limit)
        self.too_much(4096)
        half.close()
        other.close()
        self.assertEqual(self.pinned(), 0)

    @contextlib.contextmanager
    def group(self, limits):
        """This process in an rdma cgroup; gives what the group uses of the device."""
        root = "/sys/fs/cgroup"
        if not os.path.exists(f"{root}/cgroup.procs"):
            subprocess.run(["mount", "-t", "cgroup2", "none", root], check=True)
        folder = f"{root}/tbib-limits"

        def write(path, text):
            with open(path, "w", encoding="ascii") as file:
                file.write(text)

        def used():
            with open(f"{folder}/rdma.current", encoding="ascii") as file:
                return next(line.strip().partition(" ")[2] for line in file
                            if line.startswith(f"{self.dev_name} "))

        write(f"{root}/cgroup.subtree_control", "+rdma")
        os.mkdir(folder)
        write(f"{folder}/rdma.max", f"{self.dev_name} {limits}")
        write(f"{folder}/cgroup.procs", str(os.getpid()))
        try:
            yield used
        finally:
            write(f"{root}/cgroup.procs", str(os.getpid()))
            # limits of a group that is gone stay in the kernel's list of the device, which dies of them when
            # the device goes; rxe's too
            write(f"{folder}/rdma.max", f"{self.dev_name} hca_handle=max hca_object=max")
            os.rmdir(folder)

    def not_another(self, make):
        with self.assertRaises(PyverbsError):
            make()

    def test_rdma_cgroup(self):
        with self.group("hca_handle=1 hca_object=4") as used:
            ctx = Context(name=self.dev_name)
            # a context that is refused leaves the task for ever (the core's GET_CONTEXT frees it without its entry
            # of restrack), which is the one thing that a kernel would tell that looks for leaks
            if not os.path.exists("/sys/kernel/debug/kmemleak"):
                self.not_another(lambda: Context(name=self.dev_name))
            pd = PD(ctx)
            cq = CQ(ctx, 8)
            mr = MR(pd, 4096, e.IBV_ACCESS_LOCAL_WRITE)
            init = QPInitAttr(qp_type=e.IBV_QPT_RC, scq=cq, rcq=cq, cap=QPCap())
            qp = QP(pd, init)
            self.assertEqual(used(), "hca_handle=1 hca_object=4")
            for make in (lambda: PD(ctx), lambda: CQ(ctx, 8), lambda: QP(pd, init),
                         lambda: MR(pd, 4096, e.IBV_ACCESS_LOCAL_WRITE)):
                self.not_another(make)
            mr.close()
            self.assertEqual(used(), "hca_handle=1 hca_object=3")
            CQ(ctx, 8).close()
            for thing in qp, cq, pd, ctx:
                thing.close()
            self.assertEqual(used(), "hca_handle=0 hca_object=0")
