# SPDX-License-Identifier: Apache-2.0
"""The shape of NCCL's net_ib transport: see test/tools/nccl_shape.cpp."""

from lab import GUEST_FOLDER, kernel_row
from pairs import case, failure_lines, run_pairs, why_failed

HOSTS = 2
PORT = 18517
TOOL = f"{GUEST_FOLDER}/nccl_shape"
# name, options
RUNS = (
    ("1 QP", "-q 1 -n 600"),
    ("4 QPs", "-q 4 -n 400"),
    ("1 QP, messages to 1 MiB", "-q 1 -n 60 -m 1048576 -D 4"),
    ("4 QPs, messages to 1 MiB", "-q 4 -n 60 -m 1048576 -D 4"),
    ("4 QPs, queues nearly full", "-q 4 -n 1500 -m 2000 -D 56"),
)
SAMPLE = ("1 QP", "4 QPs")


def suite(lab, table, options):
    print("the shape of NCCL's net_ib, both ways at once, every byte compared")
    cases = [case(name, f"{TOOL} {words}", f"{TOOL} {words} @", PORT, 120)
             for name, words in RUNS if not options.sample or name in SAMPLE]
    for result in run_pairs(lab, cases):
        bad = why_failed(result)
        said = result["output"].strip().rpartition(", ")[2]
        table.row(result["name"], ok=0 if bad else 1, fail=1 if bad else 0,
                  note="" if bad else said, below=failure_lines(result) if bad else ())
    kernel_row(lab, table)
