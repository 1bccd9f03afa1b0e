# SPDX-License-Identifier: Apache-2.0
"""Programs that RDMA users have, against tbib in the lab: test/verbs."""

import argparse
import itertools
import subprocess
import sys

import atomics
import block
import containers
import mpi
import nccl_shape
import nfs
import nvme
import perftest
import pyverbs
import rdmacm
import rules
import scale
import surface
import verified
from lab import MEMORY, Lab, VerbsError
from table import Table

# name: module; in the order in which they run
SUITES = {"pyverbs": pyverbs, "rdmacm": rdmacm, "perftest": perftest,
          "verified": verified, "rules": rules, "nccl-shape": nccl_shape, "scale": scale,
          "atomics": atomics, "surface": surface, "nvme": nvme, "block": block, "nfs": nfs,
          "mpi": mpi, "containers": containers}
# what fits a few minutes, all on one pair of hosts
SAMPLE = ("pyverbs", "rdmacm", "perftest", "verified", "rules", "nccl-shape", "scale", "surface",
          "nvme", "nfs")


KERNELS = ("stable", "6.12", "newest", "7.3")
PRESETS = ("strix", "intel")


def some_of(names):
    """The type of an argument that lists some of these."""
    def parse(text):
        given = text.split(",")
        for name in given:
            if name not in names:
                raise argparse.ArgumentTypeError(f"'{name}' is not one of {', '.join(names)}")
        return given
    return parse


def arguments():
    parser = argparse.ArgumentParser(prog="test/verbs", description=__doc__)
    parser.add_argument("suite", nargs="*", help=f"of {', '.join(SUITES)}; default: all")
    parser.add_argument("--kernel", default="stable", type=some_of(KERNELS),
                        help="stable or 6.12 (default), newest or 7.3; several with commas between")
    parser.add_argument("--preset", default="intel", type=some_of(PRESETS),
                        help="the hosts' router: 12 ring pairs (intel) or 3 (strix); or both")
    parser.add_argument("--all", action="store_true", help="every kernel with every preset")
    parser.add_argument("--sample", action="store_true",
                        help="a part of every suite, about four minutes")
    parser.add_argument("--quick", action="store_true",
                        help="pyverbs once instead of five times, the loop that looks for leaks half a minute instead "
                             "of ten, all-reduce up to 4 MiB instead of 64, perftest's options with several "
                             "QPs at one size, and not the limits of MRs and MWs, of which there are millions")
    parser.add_argument("--name", default="verbs", help="of the lab")
    parser.add_argument("--built", metavar="FOLDER",
                        help="has what Bazel builds, which is then not called")
    parser.add_argument("--report", action="store_true",
                        help="end with a report in the form of Boost.Test too")
    options = parser.parse_args()
    options.quick |= options.sample
    if options.all:
        options.kernel, options.preset = ["6.12", "7.3"], ["intel", "strix"]
    for suite in options.suite:
        if suite not in SUITES:
            parser.error(f"unknown suite '{suite}', there are: {', '.join(SUITES)}")
    return options


def run(names, hosts, table, options):
    """These suites, one after the other, on the same hosts."""
    try:
        wanted = [getattr(SUITES[name], "files", tuple) for name in names]
        cpus = 1 if options.sample else max(getattr(SUITES[name], "CPUS", 1) for name in names)
        memory = MEMORY if options.sample else max(getattr(SUITES[name], "MEMORY", MEMORY) for name in names)
        files = dict(file for files in wanted for file in files())
        with Lab(options, hosts, files, cpus, memory) as lab:
            table.evidence = lab.evidence
            for name in names:
                SUITES[name].suite(lab, table, options)
    except (VerbsError, subprocess.TimeoutExpired) as error:
        table.evidence = tuple
        table.row(f"{names[0]}: the lab", fail=1,
                  below=[str(error), *getattr(error, "detail", "").splitlines()[-150:]])


def run_all(table, options):
    if options.sample:
        run(options.suite or SAMPLE, 2, table, options)
    else:
        for name in options.suite or SUITES:
            run([name], SUITES[name].HOSTS, table, options)


def main():
    options = arguments()
    table = Table()
    for kernel, preset in itertools.product(options.kernel, options.preset):
        print(f"hosts with kernel {kernel}, preset {preset}", flush=True)
        run_all(table, argparse.Namespace(**{**vars(options), "kernel": kernel, "preset": preset}))
    return table.close(options.report)


if __name__ == "__main__":
    sys.exit(main())
