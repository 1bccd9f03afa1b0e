# SPDX-License-Identifier: Apache-2.0
"""SCSI disks over RDMA with the kernel's own targets and initiators, SRP and iSER: ext4 on a disk of host 0."""

import collections

from lab import VerbsError, attempt, kernel_row
from nvme import MIB, READ, WRITE, WRITE_MORE, WRITTEN

HOSTS = 2
MOUNT = "/run/remote"
PORT = 5555
IQN = "iqn.2026-01.io.tbib:test"
# of the guests, only these disks are SCSI
DISK = "/dev/$(ls /sys/block | grep -m 1 ^sd)"

# connect and disconnect run on the initiator. The shell knows $target, an address, the GUIDs of
# both nodes, $guid and $initiator. recovered: the session is there again.
Protocol = collections.namedtuple("Protocol", "name target connect disconnect recovered")

RAMDISK = f"""set -e
mountpoint -q /sys/kernel/config || mount -t configfs configfs /sys/kernel/config
modprobe brd rd_nr=2 rd_size={MIB * 1024}
modprobe target_core_iblock
store=/sys/kernel/config/target/core/iblock_%d/ram
mkdir -p $store
echo udev_path=/dev/ram%d >$store/control
echo /dev/ram%d >$store/udev_path
echo 1 >$store/enable
"""
APPEARS = """
for i in $(seq 60); do ls /sys/block | grep -q ^sd && exit 0; sleep 0.25; done
dmesg | tail -n 20; exit 1"""
GONE = """
for i in $(seq 60); do ls /sys/block | grep -q ^sd || exit 0; sleep 0.25; done
ls /sys/block; exit 1"""

# The initiator is known by its port ID, which is made of its node GUID; the target by its port's
# GID and its node GUID.
SRP = Protocol(
    "SRP",
    (RAMDISK % (0, 0, 0)) + f"""modprobe ib_srpt
cd /sys/kernel/config/target
gid=0x$(tr -d : </sys/class/infiniband/tbib0/ports/1/gids/0)
mkdir -p srpt/$gid/tpg
echo {PORT} >srpt/discovery_auth/rdma_cm_port
cd srpt/$gid/tpg
acl=$PWD/acls/0x0000000000000000$initiator
mkdir lun/lun_0 $acl $acl/lun_0
ln -s $store lun/lun_0/disk
ln -s $PWD/lun/lun_0 $acl/lun_0/disk
echo 1 >enable""",
    """set -e
modprobe -a ib_srp sd_mod
printf "id_ext=$guid,ioc_guid=$guid,dest=$target:%d" \\
    >/sys/class/infiniband_srp/srp-tbib0-1/add_target
cd /sys/class/srp_remote_ports/port-*
echo 1 >reconnect_delay
echo 120 >dev_loss_tmo
echo off >fast_io_fail_tmo""" % PORT + APPEARS,
    # it is deleted behind the scenes; the module waits for the end of that
    "set -e; echo 1 >$(echo /sys/class/srp_remote_ports/port-*/delete); modprobe -r ib_srp" + GONE,
    "grep -qx running /sys/class/srp_remote_ports/port-*/state")

ISER = Protocol(
    "iSER",
    (RAMDISK % (1, 1, 1)) + f"""modprobe ib_isert
group=/sys/kernel/config/target/iscsi/{IQN}/tpgt_1
mkdir -p $group
cd $group
mkdir np/$target:3260 lun/lun_0
echo 1 >np/$target:3260/iser
ln -s $store lun/lun_0/disk
echo 0 >attrib/authentication
echo 1 >attrib/generate_node_acls
echo 0 >attrib/demo_mode_write_protect
echo 1 >enable""",
    f"""set -e
modprobe -a ib_iser sd_mod
mkdir -p /run/lock/iscsi
[ -e /run/iscsid.pid ] || {{
    echo InitiatorName={IQN}.initiator >/etc/iscsi/initiatorname.iscsi
    iscsid -p /run/iscsid.pid
}}
iscsiadm -m node -T {IQN} -p $target:3260 -o new -I iser
iscsiadm -m node -T {IQN} -p $target:3260 -I iser --login
iscsiadm -m session | grep ^iser""" + APPEARS,
    f"set -e; iscsiadm -m node -T {IQN} -p $target:3260 --logout" + GONE,
    "grep -qx LOGGED_IN /sys/class/iscsi_session/session*/state")

GUID = "tr -d : </sys/class/infiniband/tbib0/node_guid"
FORMAT = f"""set -e
mkfs.ext4 -q -F -E nodiscard {DISK}
mkdir -p {MOUNT} && mount {DISK} {MOUNT}"""


class Steps:
    """The rows of one protocol."""

    def __init__(self, lab, table, protocol):
        self.lab = lab
        self.table = table
        self.protocol = protocol
        guid, initiator = (lab.run(host, GUID).strip() for host in range(2))
        self.known = f"target={lab.address(0)} guid={guid} initiator={initiator}\n"
        self.well = True

    def do(self, command, host=1, timeout=90):
        return self.lab.run(host, self.known + command, timeout)

    def step(self, name, action):
        """One row; when there is no disk the steps that follow would only wait for it."""
        def only_well():
            if not self.well:
                raise VerbsError("not tried after what failed before")
            self.well = False
            action()
            self.well = True

        attempt(self.table, f"{self.protocol.name}, {name}", only_well)

    def shell(self, name, command, host=1, timeout=90):
        self.step(name, lambda: self.do(command, host, timeout))

    def read(self):
        self.lab.until(1, "the session to be back", self.protocol.recovered, 90)
        self.do(READ.format(mount=MOUNT), timeout=120)

    def replugged(self):
        self.lab.replug(8)
        self.read()

    def written_while_out(self):
        self.do(WRITE_MORE.format(mount=MOUNT))
        self.lab.replug(2)
        self.lab.until(1, "all files to be written", WRITTEN, 90)
        self.read()

    def run(self):
        protocol = self.protocol
        self.shell("target", protocol.target, 0)
        self.shell("connect", protocol.connect)
        self.shell("ext4", FORMAT)
        self.shell("write files", WRITE.format(mount=MOUNT), timeout=120)
        self.shell("read them, checksums", READ.format(mount=MOUNT), timeout=120)
        self.step("cable out for 8 s, read", self.replugged)
        self.step("out while writing", self.written_while_out)
        self.shell("reconnect, fsck, read",
                   f"umount {MOUNT} && ({protocol.disconnect}) && ({protocol.connect}) && "
                   f"e2fsck -f -n {DISK} && mount {DISK} {MOUNT} && {READ.format(mount=MOUNT)}",
                   timeout=150)
        self.shell("disconnect", f"cd / && umount {MOUNT} && ({protocol.disconnect})")


def suite(lab, table, _):
    print("SCSI over RDMA: host 1 has ext4 on disks of host 0")
    for protocol in (SRP, ISER):
        Steps(lab, table, protocol).run()
    kernel_row(lab, table)
