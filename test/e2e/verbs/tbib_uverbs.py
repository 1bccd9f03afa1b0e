# SPDX-License-Identifier: Apache-2.0
"""Calls of uverbs that librxe or pyverbs does not make: regions of dma-bufs, reregistered ones, multicast groups."""

import ctypes
import fcntl
import os
import struct

# rdma/ib_user_verbs.h
CMD_REG_MR, CMD_REREG_MR, CMD_ATTACH_MCAST, CMD_DETACH_MCAST = 9, 11, 30, 31
REREG_TRANS, REREG_PD, REREG_ACCESS = 1, 2, 4

# rdma/rdma_user_ioctl_cmds.h, ib_user_ioctl_cmds.h, ib_user_ioctl_verbs.h
RDMA_VERBS_IOCTL = 0xc0181b01
OBJECT_MR, MR_DESTROY, REG_DMABUF_MR = 7, 1, 4
DRIVER_RXE = 14
MANDATORY = 1


def ioctl_verbs(fd, method, attributes):
    """attributes: (id, length, data). Returns the buffer after the call."""
    buffer = bytearray(struct.pack("=HHHHQII", 24 + 16 * len(attributes), OBJECT_MR, method,
                                   len(attributes), 0, DRIVER_RXE, 0))
    for number, length, data in attributes:
        buffer += struct.pack("=HHHHQ", number, length, MANDATORY, 0, data)
    fcntl.ioctl(fd, RDMA_VERBS_IOCTL, buffer, True)
    return buffer


def write_command(fd, command, body, answer):
    """body begins behind the address of the answer, an array of 32-bit words."""
    words = (8 + 8 + len(body)) // 4
    os.write(fd, struct.pack("=IHHQ", command, words, len(answer), ctypes.addressof(answer)) + body)


def multicast(context, command, handle, mgid):
    """Attaches a queue pair to a group, whose address is 16 bytes, or detaches it."""
    os.write(context.cmd_fd, struct.pack("=IHH16sIHH", command, 8, 0, mgid, handle, 0, 0))


def rereg(context, handle, flags, address=0, length=0, pd=None, access=0, iova=None):
    """Returns both keys."""
    answer = (ctypes.c_uint32 * 2)()
    write_command(context.cmd_fd, CMD_REREG_MR, struct.pack(
        "=IIQQQII", handle, flags, address, length, address if iova is None else iova,
        pd.handle if pd else 0, access), answer)
    return tuple(answer)


class Region:
    """What was registered here, with its keys."""

    def __init__(self, context, handle, lkey, rkey):
        self.context = context
        self.handle = handle
        self.lkey = lkey
        self.rkey = rkey

    def close(self):
        ioctl_verbs(self.context.cmd_fd, MR_DESTROY, [(0, 0, self.handle)])


def register(context, pd, address, length, iova, access):
    """Memory of this process, which others find at iova: ibv_reg_mr_iova()."""
    answer = (ctypes.c_uint32 * 3)()
    write_command(context.cmd_fd, CMD_REG_MR,
                  struct.pack("=QQQII", address, length, iova, pd.handle, access), answer)
    return Region(context, *answer)


def register_dmabuf(context, pd, fd, offset, length, iova, access):
    """ibv_reg_dmabuf_mr()"""
    keys = (ctypes.c_uint32 * 2)()
    address = ctypes.addressof(keys)
    done = ioctl_verbs(context.cmd_fd, REG_DMABUF_MR, [
        (0, 0, 0), (1, 0, pd.handle), (2, 8, offset), (3, 8, length), (4, 8, iova),
        (5, 4, fd), (6, 4, access), (7, 4, address), (8, 4, address + 4)])
    return Region(context, struct.unpack_from("=Q", done, 24 + 8)[0], *keys)
