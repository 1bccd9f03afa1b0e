# SPDX-License-Identifier: Apache-2.0
"""
Steps of test/debug: the kernel's own users. They post work requests, register memory and take
completions in softirq, and have to let go of a device that is taken away.
"""

import time

import block
import nfs
import nvme
from lab import GUEST_FOLDER

DATA = "/run/data"
MIB = 16
SAME = f"echo 3 >/proc/sys/vm/drop_caches && cmp -n $(({MIB} << 20)) {DATA} "
FILL = f"head -c {MIB}M /dev/urandom >{DATA}"
NVME_GONE = "[ ! -e /sys/class/nvme/nvme0 ]"


class Disk:
    """A namespace of host 0 that host 1 has."""

    def __init__(self, lab):
        self.lab = lab

    def offer(self):
        self.lab.run(0, nvme.target(nvme.FILE).replace("@", self.lab.address(0)))

    def connect(self):
        self.lab.run(1, nvme.CONNECT.replace("@", self.lab.address(0)), timeout=60)

    def disconnect(self):
        self.lab.run(1, nvme.DISCONNECT)

    def write(self):
        self.lab.run(1, f"{FILL} && dd if={DATA} of={nvme.DISK} bs=1M conv=fsync", timeout=120)

    def read(self):
        self.lab.run(1, SAME + nvme.DISK, timeout=120)

    def keep_busy(self):
        """Reads without an end, so that work is outstanding; dd ends when the disk goes."""
        self.lab.background(1, f"while dd if={nvme.DISK} of=/dev/null bs=1M iflag=direct; do :; done")
        time.sleep(2)

    def reconnected(self):
        self.lab.wait_for(1, "grep -q live /sys/class/nvme/nvme0/state", 60)
        self.read()


def replugged(lab, disk):
    lab.tblab("unplug", "0")
    time.sleep(8)       # longer than the keep-alive time: the initiator has to connect again
    lab.tblab("plug", "0")
    lab.ready()
    disk.reconnected()


def taken_from_initiator(lab, disk, take, give):
    """Its device goes, and with it the controller; another one is made by hand."""
    disk.keep_busy()
    lab.run(1, take, timeout=60)
    lab.wait_for(1, NVME_GONE, 30)
    lab.run(1, give, timeout=60)
    lab.ready()
    disk.connect()
    disk.read()


def taken_from_target(lab, disk, take, give):
    """The target's port goes with its device; the initiator tries until there is one again."""
    disk.keep_busy()
    lab.run(0, take, timeout=60)
    lab.run(0, give, timeout=60)
    lab.ready()
    lab.run(0, nvme.REOPEN)
    disk.reconnected()


def router(lab, host):
    """The commands that take the host router from its driver and give it back."""
    name = lab.run(host, "basename $(ls -d /sys/bus/pci/drivers/thunderbolt/0000:*)").strip()
    folder = "/sys/bus/pci/drivers/thunderbolt"
    return (f"echo {name} >{folder}/unbind",
            f"echo {name} >{folder}/bind && echo on >/sys/bus/pci/devices/{name}/power/control")


RXE = ("modprobe rdma_rxe && rmmod rdma_rxe", "true")
MODULE = ("rmmod tbib", f"insmod {GUEST_FOLDER}/tbib.ko")


def nvme_steps(lab):
    disk = Disk(lab)

    def begin():
        disk.offer()
        disk.connect()
        disk.write()
        disk.read()

    yield "NVMe over RDMA", begin
    yield "NVMe, cable out for 8 s", lambda: replugged(lab, disk)
    # what takes the RDMA device away while the kernel's users have it (ADR 2)
    for what, pair in (("rmmod rdma_rxe", lambda _: RXE), ("rmmod tbib", lambda _: MODULE),
                       ("router unbound", lambda host: router(lab, host))):
        yield (f"NVMe, {what} at the initiator",
               lambda pair=pair: taken_from_initiator(lab, disk, *pair(1)))
        yield (f"NVMe, {what} at the target",
               lambda pair=pair: taken_from_target(lab, disk, *pair(0)))
    yield "NVMe disconnected", disk.disconnect


def nfs_steps(lab):
    def mount():
        lab.run(0, nfs.SERVER, timeout=90)
        lab.run(1, nfs.CLIENT.replace("@", lab.address(0)), timeout=90)

    def files():
        lab.run(1, f"{FILL} && cp {DATA} {nfs.MOUNT}/data && sync -f {nfs.MOUNT}", timeout=180)
        lab.run(1, SAME + f"{nfs.MOUNT}/data", timeout=120)

    def again():
        lab.run(1, "rmmod tbib", timeout=60)
        lab.run(1, f"insmod {GUEST_FOLDER}/tbib.ko", timeout=60)
        lab.ready()
        lab.run(1, SAME + f"{nfs.MOUNT}/data", timeout=180)
        # the one that went with the device has been told of
        lab.wait_for(0, "[ $(rdma resource show cm_id | grep -c 'state CONNECT ') = 1 ]")

    def end():
        lab.run(1, f"umount {nfs.MOUNT}", timeout=60)
        # also because kmemleak does not look for receives that are posted
        lab.run(0, "rpc.nfsd 0", timeout=60)
        lab.wait_for(0, "! rdma resource show cm_id | grep -q rpcrdma")

    yield "NFS over RDMA", mount
    yield "NFS, a file", files
    yield "NFS, rmmod tbib at the client", again
    yield "NFS unmounted, server stopped", end


def scsi_steps(lab):
    for protocol in (block.SRP, block.ISER):
        def disk(protocol=protocol):
            steps = block.Steps(lab, None, protocol)
            steps.do(protocol.target, 0)
            steps.do(protocol.connect)
            steps.do(f"{FILL} && dd if={DATA} of={block.DISK} bs=1M conv=fsync", timeout=120)
            steps.do(SAME + block.DISK, timeout=120)
            steps.do(protocol.disconnect)
        yield f"{protocol.name}, a disk", disk


def storage(lab):
    for steps in (nvme_steps, nfs_steps, scsi_steps):
        yield from steps(lab)
