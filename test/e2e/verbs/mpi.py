# SPDX-License-Identifier: Apache-2.0
"""Open MPI over UCX, all-reduce on two hosts and on three; libfabric's ping-pong."""

from lab import GUEST_FOLDER, attempt, kernel_row, VerbsError
from pairs import case, failure_lines, run_pairs, why_failed

HOSTS = 3
# bytes, and seconds for all sizes up to it
LARGEST = 64 << 20, 900
QUICK = 4 << 20, 150
SERVE = f"setsid python3 {GUEST_FOLDER}/launch_guest.py </dev/null >/run/launch.log 2>&1 &"
# Only the one transport and the one device are offered, so nothing can fall back to TCP. UCX's
# rc_v is rc_verbs, and ud_verbs to find each other.
RUN = ("env OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 "
       "PRTE_ALLOW_RUN_AS_ROOT=1 PRTE_ALLOW_RUN_AS_ROOT_CONFIRM=1 "
       "timeout {limit} mpirun --prtemca plm_ssh_agent 'python3 {folder}/launch_guest.py' "
       "--host {hosts} -np {ranks} --map-by node:OVERSUBSCRIBE --bind-to none --mca pml ucx --mca osc ucx "
       "-x UCX_TLS={transport},self -x UCX_NET_DEVICES=tbib0:1 "
       "{folder}/mpi_allreduce {largest}")
FABRIC = "fi_pingpong -p 'verbs;ofi_rxm' -e rdm -d tbib0 -c -I 20"


def serve(lab):
    """mpirun's way to the other hosts."""
    lab.everywhere(SERVE)


def all_reduce(lab, ranks, transport, largest, limit):
    hosts = ",".join(f"{lab.address(host)}:1" for host in range(ranks))
    output = lab.run(0, RUN.format(folder=GUEST_FOLDER, hosts=hosts, ranks=ranks, limit=limit,
                                   transport=transport, largest=largest), limit + 10)
    lines = output.strip().splitlines()
    if f"{ranks} ranks, 0 wrong elements" not in lines:
        raise VerbsError("mpirun's program does not say that all is right", output)
    sizes = [line.split() for line in lines if " KiB " in line]
    return ", ".join(f"{words[0]} KiB {words[2]} ms" for words in (sizes[0], sizes[-1]))


def suite(lab, table, options):
    largest = QUICK if options.quick else LARGEST
    print(f"MPI over UCX, all-reduce of 1 KiB to {largest[0] >> 20} MiB; libfabric")
    serve(lab)
    for ranks in (2, 3):
        for transport in ("rc_v", "ud_v"):
            attempt(table, f"all-reduce, {ranks} hosts, {transport}",
                    lambda: all_reduce(lab, ranks, transport, *largest))
    for result in run_pairs(lab, [case("fi_pingpong, verbs;ofi_rxm", FABRIC, f"{FABRIC} @", 47592,
                                       60)]):
        bad = why_failed(result)
        table.row(result["name"], ok=0 if bad else 1, fail=1 if bad else 0,
                  below=failure_lines(result) if bad else ())
    kernel_row(lab, table)
