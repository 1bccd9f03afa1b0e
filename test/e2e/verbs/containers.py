# SPDX-License-Identifier: Apache-2.0
"""Programs of other Debian releases, in containers with their own libraries, on one and the same module."""

import os

from lab import GUEST_FOLDER, ROOT, VerbsError, attempt, call, kernel_row
from pairs import case, failure_lines, run_pairs, why_failed

HOSTS = 2
PLAIN = "guest"
# an older and a newer rdma-core than the guests', whose releases do not understand each other's
# providers
RELEASES = ("bookworm", "forky")
OLDEST = "44."
BOXES = "/run/box"
PORT = 18515

# As a container engine would: the release's files, read-only; the RDMA devices and /sys; the
# host's network; its own processes, mounts and names; a user without any right.
BOX = """set -e
modprobe loop
root={boxes}/{release}
mkdir -p $root
mount -t squashfs -o loop,ro {folder}/{release}.squashfs $root
mount -t tmpfs box $root/dev
mkdir $root/dev/infiniband $root/dev/shm
mount --bind /dev/infiniband $root/dev/infiniband
mount -t tmpfs -o mode=1777 box $root/dev/shm
for node in null zero random urandom; do
    touch $root/dev/$node
    mount --bind /dev/$node $root/dev/$node
done
mount --rbind /sys $root/sys"""
ENTER = (f"prlimit --memlock=unlimited unshare --mount --mount-proc={BOXES}/@R/proc --pid --ipc "
         f"--uts --fork chroot --userspec=1000:1000 {BOXES}/@R ")
RDMA_CORE = "readlink -f {root}/usr/lib/x86_64-linux-gnu/libibverbs.so.1"
PROVIDER = "basename {root}/usr/lib/x86_64-linux-gnu/libibverbs/librxe-rdmav*.so"

PINGPONG = "-d tbib0 -g 1 -c"
PERFTEST = f"-F -d tbib0 -p {PORT}"
# "@" is the server's address
PAIRS = (
    ("ibv_rc_pingpong", f"ibv_rc_pingpong {PINGPONG}", f"ibv_rc_pingpong {PINGPONG} @", PORT),
    ("ibv_rc_pingpong -N", f"ibv_rc_pingpong {PINGPONG} -N", f"ibv_rc_pingpong {PINGPONG} -N @",
     PORT),
    ("ibv_ud_pingpong", f"ibv_ud_pingpong {PINGPONG}", f"ibv_ud_pingpong {PINGPONG} @", PORT),
    ("ibv_srq_pingpong -e", f"ibv_srq_pingpong {PINGPONG} -e", f"ibv_srq_pingpong {PINGPONG} -e @",
     PORT),
    ("rping", "rping -s -a @ -V -S 30000 -C 20", "rping -c -a @ -V -S 30000 -C 20", None),
    ("ib_write_bw", f"ib_write_bw {PERFTEST} -s 65536 -n 100 -q 2",
     f"ib_write_bw {PERFTEST} -s 65536 -n 100 -q 2 @", PORT),
    ("ib_read_lat", f"ib_read_lat {PERFTEST} -n 50", f"ib_read_lat {PERFTEST} -n 50 @", PORT),
    ("ib_send_lat -e", f"ib_send_lat {PERFTEST} -n 50 -e", f"ib_send_lat {PERFTEST} -n 50 -e @",
     PORT),
)


def files():
    """What the guests find in their folder: a name, and the file on this machine."""
    maker = os.path.join(ROOT, "test/lab/image/container")
    for release in RELEASES:
        folder = call([maker, release]).splitlines()[-1]
        yield f"{release}.squashfs", os.path.join(folder, "root.squashfs")


def inside(system, command):
    return command if system == PLAIN else ENTER.replace("@R", system) + command


def rdma_core(lab, system):
    """Its version, which is the last part of libibverbs' file name; and librxe's private ABI."""
    root = "" if system == PLAIN else f"{BOXES}/{system}"
    version = lab.run(0, RDMA_CORE.format(root=root)).strip().partition(".so.")[2]
    provider = lab.run(0, PROVIDER.format(root=root)).strip()
    return ".".join(version.split(".")[2:]), provider


def devinfo(lab, system):
    """ibv_devinfo in it, on both hosts."""
    for host in range(lab.hosts):
        output = lab.run(host, inside(system, "ibv_devinfo -v -d tbib0"))
        if "PORT_ACTIVE" not in output:
            raise VerbsError("ibv_devinfo does not say PORT_ACTIVE", output)


def suite(lab, table, _):
    print("programs and libraries of other releases, in containers, host 1 to host 0")
    for release in RELEASES:
        lab.everywhere(BOX.format(boxes=BOXES, folder=GUEST_FOLDER, release=release))
    systems = (PLAIN, *RELEASES)
    versions = {}
    for system in systems:
        versions[system], provider = rdma_core(lab, system)
        attempt(table, f"ibv_devinfo, {system}",
                lambda system=system, provider=provider: devinfo(lab, system) or
                f"rdma-core {versions[system]}, {provider}")
    others = (len(set(versions.values())) == len(systems) and
              versions[RELEASES[0]].startswith(OLDEST))
    table.row("each has another rdma-core", ok=1 if others else 0, fail=0 if others else 1)
    for client in systems:
        for server in systems:
            if client != server:
                programs(lab, table, client, server, versions)
    kernel_row(lab, table)


def programs(lab, table, client, server, versions):
    results = run_pairs(lab, [
        case(name, inside(server, server_command), inside(client, client_command), port)
        for name, server_command, client_command, port in PAIRS])
    bad = [result for result in results if why_failed(result)]
    table.row(f"{client} to {server}", ok=len(results) - len(bad), fail=len(bad),
              note=f"rdma-core {versions[client]} to {versions[server]}",
              below=[line for result in bad for line in failure_lines(result)])
