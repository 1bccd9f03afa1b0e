# SPDX-License-Identifier: Apache-2.0
"""NFS over RDMA with the kernel's own client and server."""

from lab import VerbsError, attempt, kernel_row
from nvme import READ, WRITE, WRITE_MORE, WRITTEN

HOSTS = 2
MOUNT = "/run/nfs"
PORT = 20049

# One that has just started gives clients of an earlier life a time in which nobody else may open.
SERVER = f"""set -e
modprobe -a nfsd rpcrdma
mountpoint -q /proc/fs/nfsd || mount -t nfsd nfsd /proc/fs/nfsd
mkdir -p /srv/share /var/lib/nfs/v4recovery /run/rpc_pipefs && mount -t tmpfs share /srv/share
touch /var/lib/nfs/etab /var/lib/nfs/rmtab
echo 10 >/proc/fs/nfsd/nfsv4leasetime
echo 10 >/proc/fs/nfsd/nfsv4gracetime
echo '/srv/share *(rw,no_root_squash,no_subtree_check,insecure,sync,fsid=0)' >/etc/exports
exportfs -ra
rpc.mountd --no-nfs-version 3
rpc.nfsd --no-nfs-version 3 --rdma={PORT} 4
grep -q rdma /proc/fs/nfsd/portlist"""
CLIENT = f"""set -e
modprobe -a nfsv4 rpcrdma
mkdir -p {MOUNT}
mount -t nfs -o vers=4.2,proto=rdma,port={PORT},timeo=50 @:/ {MOUNT}
grep ' {MOUNT} ' /proc/mounts | grep proto=rdma"""
# How often the transport came to a connection: the fifth word of its line in mountstats.
CONNECTED = f"""awk 'index($0, "device ") == 1 {{ here = index($0, " on {MOUNT} ") }}
here && $1 == "xprt:" && $2 == "rdma" {{ print $5 }}' /proc/self/mountstats"""


def suite(lab, table, _):
    print("NFS over RDMA: host 1 has a folder of host 0")
    address = lab.address(0)

    def step(name, command, host=1, timeout=90):
        attempt(table, name, lambda: lab.run(host, command.replace("@", address), timeout) and "")

    def replugged():
        lab.replug(5)
        lab.run(1, READ.format(mount=MOUNT), 180)

    def written_while_out():
        before = int(lab.run(1, CONNECTED))
        lab.run(1, WRITE_MORE.format(mount=MOUNT))
        lab.replug(20)  # longer than the client's connection tries: it has to make another one
        lab.until(1, "all files to be written", WRITTEN, 90)
        lab.run(1, READ.format(mount=MOUNT), 180)
        more = int(lab.run(1, CONNECTED)) - before
        if more == 0:
            raise VerbsError("it never had to connect again")
        return f"reconnected {more} times"

    step("server", SERVER, 0)
    step("mount", CLIENT)
    step("write files", WRITE.format(mount=MOUNT), timeout=180)
    step("read them, checksums", READ.format(mount=MOUNT), timeout=120)
    attempt(table, "cable out for 5 s, read again", replugged)
    attempt(table, "cable out for 20 s while writing", written_while_out)
    step("unmount, mount, read again",
         f"cd / && umount {MOUNT} && ({CLIENT}) && {READ.format(mount=MOUNT)}", timeout=180)
    step("the server's copy", "cd /srv/share && sha256sum -c --quiet sums", 0)
    step("unmount", f"cd / && umount {MOUNT}")
    kernel_row(lab, table)
