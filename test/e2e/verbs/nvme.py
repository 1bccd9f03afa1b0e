# SPDX-License-Identifier: Apache-2.0
"""NVMe over RDMA with the kernel's own initiator and target: ext4 on a namespace of host 0."""

from lab import VerbsError, attempt, kernel_row

HOSTS = 2
NQN = "nqn.2014-08.org.nvmexpress:tbib-test"
MIB = 64
DISK = "/dev/nvme0n1"
MOUNT = "/run/remote"

# On which a namespace stands: (how it comes to be, path)
RAM = (f"modprobe brd rd_nr=1 rd_size={MIB * 1024}", "/dev/ram0")
FILE = (f"truncate -s {MIB}M /run/disk", "/run/disk")


def target(disk):
    return TARGET.format(make=disk[0], path=disk[1])


TARGET = f"""set -e
modprobe nvmet-rdma
{{make}}
mountpoint -q /sys/kernel/config || mount -t configfs configfs /sys/kernel/config
cd /sys/kernel/config/nvmet
mkdir subsystems/{NQN} subsystems/{NQN}/namespaces/1 ports/1
echo 1 >subsystems/{NQN}/attr_allow_any_host
echo {{path}} >subsystems/{NQN}/namespaces/1/device_path
echo 1 >subsystems/{NQN}/namespaces/1/enable
echo rdma >ports/1/addr_trtype
echo ipv4 >ports/1/addr_adrfam
echo @ >ports/1/addr_traddr
echo 4420 >ports/1/addr_trsvcid
ln -s /sys/kernel/config/nvmet/subsystems/{NQN} ports/1/subsystems/"""
# nvmet's port ends with the device that it listens on, and is opened by hand
REOPEN = f"""set -e
cd /sys/kernel/config/nvmet
rm ports/1/subsystems/{NQN}
ln -s /sys/kernel/config/nvmet/subsystems/{NQN} ports/1/subsystems/"""
OPTIONS = (f"transport=rdma,traddr=@,trsvcid=4420,nqn={NQN},nr_io_queues=2,keep_alive_tmo=5,"
           "reconnect_delay=1,ctrl_loss_tmo=120")
# What the nvme command does: a line into the device, and its answer.
CONNECT = f"""set -e
modprobe nvme-rdma
exec 3<>/dev/nvme-fabrics
printf '{OPTIONS}' >&3
head -n 1 <&3
for i in $(seq 40); do [ -b {DISK} ] && exit; sleep 0.25; done
exit 1"""
DISCONNECT = """set -e
echo 1 >/sys/class/nvme/nvme0/delete_controller
for i in $(seq 40); do [ -e /sys/class/nvme/nvme0 ] || exit 0; sleep 0.25; done
exit 1"""
# The target gets the key of all memory then, wherever a request is in one piece.
UNREGISTERED = "modprobe -r nvme-rdma && modprobe nvme-rdma register_always=N"
FORMAT = f"""set -e
mkfs.ext4 -q -F -E nodiscard {DISK}
mkdir -p {MOUNT} && mount {DISK} {MOUNT}"""
# from one byte to 16 MiB, and one written in pieces that no page begins with
WRITE = """set -e
cd {mount}
for size in 1 511 4096 65537 1000003 16777216; do head -c $size /dev/urandom >file-$size; done
for i in $(seq 200); do head -c 1234 /dev/urandom >>file-pieces; done
sha256sum file-* >/run/sums && cp /run/sums sums
sync -f ."""
MORE_FILES = 30
# one after the other, for some seconds; it ends with the first that fails
WRITE_MORE = ("(cd {mount} && for i in $(seq %d); do head -c 100000 /dev/urandom >more-$i && sync -f more-$i && "
              "sha256sum more-$i >>/run/sums || exit; sleep 0.1; done) >/dev/null 2>&1 &" % MORE_FILES)
WRITTEN = f"[ $(grep -c ' more-' /run/sums) = {MORE_FILES} ]"
READ = "echo 3 >/proc/sys/vm/drop_caches && cd {mount} && sha256sum -c --quiet /run/sums"


def suite(lab, table, _):
    print("NVMe over RDMA: host 1 has ext4 on a namespace of host 0")
    address = lab.address(0)

    def step(name, command, host=1, timeout=90):
        attempt(table, name, lambda: lab.run(host, command.replace("@", address), timeout) and "")

    def replugged():
        lab.replug(8)   # longer than the keep-alive time: the initiator has to connect again
        lab.until(1, "the controller to be live",
                  "grep -q live /sys/class/nvme/nvme0/state", 60)
        lab.run(1, READ.format(mount=MOUNT), 120)
        count = lab.run(1, "dmesg | grep -c 'Successfully reconnected' || true").strip()
        if int(count) == 0:
            raise VerbsError("it never had to connect again")
        return f"reconnected {count} times"

    def written_while_out():
        lab.run(1, WRITE_MORE.format(mount=MOUNT))
        lab.replug(2)
        lab.until(1, "all files to be written", WRITTEN, 60)
        lab.run(1, READ.format(mount=MOUNT), 120)

    step("target", target(RAM), 0)
    step("connect", CONNECT)
    step("ext4", FORMAT)
    step("write files", WRITE.format(mount=MOUNT), timeout=120)
    step("read them, checksums", READ.format(mount=MOUNT), timeout=120)
    attempt(table, "cable out for 8 s, read again", replugged)
    attempt(table, "cable out for 2 s while writing", written_while_out)
    step("disconnect, connect, read again",
         f"umount {MOUNT} && ({DISCONNECT}) && ({CONNECT}) && e2fsck -f -n {DISK} && "
         f"mount {DISK} {MOUNT} && {READ.format(mount=MOUNT)}", timeout=120)
    step("without registration, write, read",
         f"umount {MOUNT} && ({DISCONNECT}) && {UNREGISTERED} && ({CONNECT}) && mount {DISK} {MOUNT} && "
         f"({WRITE.format(mount=MOUNT)}) && {READ.format(mount=MOUNT)}", timeout=120)
    step("disconnect", f"cd / && umount {MOUNT} && {DISCONNECT}")
    kernel_row(lab, table)
