# SPDX-License-Identifier: Apache-2.0
"""rdma-core's own test suite over loopback, on tbib and beside it on rxe."""

import os
from collections import Counter

from lab import GUEST_FOLDER, HERE, add_rxe, kernel_row

HOSTS = 2
SKIPS = os.path.join(HERE, "pyverbs_skips")
# everything in the suite that is not for one vendor's provider
MODULES = ("addr atomic cq cq_events cqex cuda_dmabuf device flow fork mr odp parent_domain pd qp "
           "qpex rdmacm relaxed_ordering rss_traffic shared_pd srq tag_matching").split()
# ours, which rxe does not come through
OURS = sorted(name[len("test_"):-len(".py")] for name in os.listdir(HERE) if name.startswith("test_tbib_"))
SAMPLE = "atomic cq qp srq tbib_events".split()
LONG_RUNS = 5
# The image has the suite of the release that the guests run.
SUITE = "/usr/share/doc/rdma-core/tests"
PREPARE = f"""set -e
mkdir /run/pyverbs && cp -r {SUITE} /run/pyverbs/tests
cp {GUEST_FOLDER}/*tbib_*.py /run/pyverbs/tests
find /run/pyverbs -name '*.gz' -exec gunzip {{}} +"""


def expected_skips():
    """Parts of the reasons for which tests may be skipped: to whether rxe may pass them."""
    with open(SKIPS, encoding="utf-8") as stream:
        lines = [line.strip() for line in stream]
    return {line.removeprefix("! ").split(": ", 1)[0]: line.startswith("! ")
            for line in lines if line and not line.startswith("#")}


def rows(output):
    for line in output.splitlines():
        fields = line.split("\t")
        if len(fields) == 3 and fields[0] in ("ok", "skip", "fail"):
            yield fields


def run_module(lab, device, module):
    """The tests of one module: name to (result, reason)."""
    output = lab.run(0, f"python3 {GUEST_FOLDER}/pyverbs_guest.py /run/pyverbs {device} 1 "
                     f"test_{module} 2>/run/pyverbs/log || echo 'fail\ttest_{module}\tended early'",
                     timeout=240)
    return {test: (result, why) for result, test, why in rows(output)}


def judge(ours, rxe, known):
    """Counts, and a line for each test that ended as it should not."""
    counts = {"ok": 0, "skip": 0, "fail": 0 if ours else 1}
    below = [] if ours else ["no test ran"]
    for test, (result, why) in ours.items():
        on_rxe = rxe.get(test, ("not run", ""))[0]
        if result == "skip":
            rxe_may = [may for part, may in known.items() if part in why]
            if not rxe_may:
                result, why = "fail", f"skipped, which is new: {why}"
            elif on_rxe == "ok" and not any(rxe_may):
                result, why = "fail", f"skipped, and rxe passes it: {why}"
        counts[result] += 1
        if result == "fail":
            below.append(f"{test}: {why}" + (f" (on rxe: {on_rxe})" if rxe else ""))
    return counts, below


def tally(results):
    words = [result for result, _ in results.values()]
    return f"rxe: {words.count('ok')} / {words.count('fail')} / {words.count('skip')}"


def suite(lab, table, options):
    print("pyverbs, over loopback (rxe: passed / failed / skipped)")
    known = expected_skips()
    lab.run(0, PREPARE)
    if not options.sample:
        add_rxe(lab, 0)
    for module in SAMPLE if options.sample else MODULES + OURS:
        rxe = {} if options.sample or module in OURS else run_module(lab, "rxe0", module)
        counts, below = Counter(), []
        # the suite draws capabilities and flags at random
        for _ in range(LONG_RUNS if options.long else 1):
            more, why = judge(run_module(lab, "tbib0", module), rxe, known)
            counts.update(more)
            below += why
        table.row(f"test_{module}", **counts, note=tally(rxe) if rxe else "", below=below)
    kernel_row(lab, table)
