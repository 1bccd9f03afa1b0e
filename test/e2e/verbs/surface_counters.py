# SPDX-License-Identifier: Apache-2.0
"""Counters, as 'rdma statistic' and sysfs show them."""

import time

from surface_common import (DEVICE, IDLE_PORT, PORT, RXE_ADDRESS, SAID, Wrong, attempt, expect, gid_index,
                            own_address, pingpong, program, rdma, read, rxe, sh, until)
from surface_resource import owned

# What rxe counts, by its names, which are mlx5's and irdma's where they have them.
STANDARD = ("sent_pkts rcvd_pkts duplicate_request out_of_seq_request rcvd_rnr_err send_rnr_err "
            "rcvd_seq_err ack_deferred retry_exceeded_err retry_rnr_exceeded_err "
            "completer_retry_err send_err link_downed rdma_sends rdma_recvs").split()


def counters(device=DEVICE):
    # the core shows again what it has asked for less than 10 ms ago
    time.sleep(0.05)
    return {key: value for key, value in rdma(f"statistic show link {device}/1")[0].items()
            if isinstance(value, int)}


def counter_names(_):
    shown = counters()
    missing = [name for name in STANDARD if name not in shown]
    if missing:
        raise Wrong(f"rdma statistic has no {', '.join(missing)}")
    files = set(sh(f"ls {PORT}/hw_counters").split())
    expect(files - {"lifespan"}, {name for name in shown if name not in ("ifindex", "port")},
           "the list of files in hw_counters")
    return f"{len(files) - 1}, with all {len(STANDARD)} of rxe's"


def grown(before, device=DEVICE):
    return {name: value - before.get(name, 0) for name, value in counters(device).items()}


def at_least(delta, wanted):
    low = [f"{name} grew by {delta[name]}, not {n}" for name, n in wanted.items()
           if delta[name] < n]
    if low:
        raise Wrong("; ".join(low))


def counted_traffic(peer):
    before = counters()
    old = int(read(f"{PORT}/counters/port_xmit_data"))
    pingpong(peer, own_address())
    delta = grown(before)
    at_least(delta, {"sent_pkts": 100, "rcvd_pkts": 100, "rdma_sends": 100, "rdma_recvs": 100,
                     "tx_frames": 100, "rx_frames": 100})
    expect(delta["rdma_sends"], 100, "rdma_sends")
    expect(delta["rdma_recvs"], 100, "rdma_recvs")
    # in units of four bytes, IBTA 16.1.3.5
    data = int(read(f"{PORT}/counters/port_xmit_data")) - old
    if data < 100 * 4096 / 4:
        raise Wrong(f"port_xmit_data grew by {data}")
    return f"{delta['sent_pkts']} packets sent, {delta['ack_deferred']} ACKs deferred"


def counted_operations(_):
    """SENDs are counted, signalled or not, and nothing else is; the same on rxe."""
    import surface_errors  # pylint: disable=import-outside-toplevel

    def provoke(device, address):
        before = counters(device)
        surface_errors.operations(device, gid_index(address, device))
        delta = grown(before, device)
        for name, wanted in surface_errors.OPERATIONS.items():
            expect(delta[name], wanted, f"growth of {name} of {device}")

    provoke(DEVICE, own_address())
    with rxe() as other:
        provoke(other, RXE_ADDRESS)
    return ", ".join(f"{n} {name}" for name, n in surface_errors.OPERATIONS.items())


def count_errors(device, address, names, but=()):
    import surface_errors  # pylint: disable=import-outside-toplevel

    errors = [error for error in surface_errors.ERRORS if error[0] not in but]
    for name, provoke, moves, stays in errors:
        before = counters(device)
        provoke(device, gid_index(address, device))
        delta = grown(before, device)
        try:
            at_least(delta, {counter: 1 for counter in moves.split() if counter in names})
            for counter in stays.split():
                if counter in names:
                    expect(delta[counter], 0, f"growth of {counter}")
        except Wrong as error:
            raise Wrong(f"{name}, {device}: {error}") from None
    return ", ".join(name for name, *_ in errors)


def counted_errors(_):
    """Each error is provoked between two QPs of ours; what rxe counts, it counts likewise."""
    import surface_errors  # pylint: disable=import-outside-toplevel

    with rxe() as other:
        count_errors(other, RXE_ADDRESS, STANDARD, surface_errors.NOT_ON_RXE)
    return count_errors(DEVICE, own_address(), counters())


def ask_for_counters(device):
    """What is said to requests that only devices with counters for each QP grant."""
    answers = []
    with program(f"ibv_rc_pingpong -d {device} -p {IDLE_PORT}") as running:
        until("its QP", lambda: owned("qp", running.pid, device))
        lqpn = owned("qp", running.pid, device)[0]["lqpn"]
        for words in (f"qp bind link {device}/1 lqpn {lqpn}", f"qp show link {device}/1",
                      f"set link {device}/1 optional-counters sent_pkts"):
            code, output = attempt(f"rdma statistic {words}")
            answers.append((code, output.replace(device, "DEVICE")))
    return answers


def counters_of_a_qp(_):
    """Neither tbib nor rxe counts for each QP, so the core gives the same answers."""
    ours = ask_for_counters(DEVICE)
    with rxe():
        expect(ours, ask_for_counters("rxesurface"), "what rdma says")
    if ours[0][0] == 0 or ours[1] != (0, "") or ours[2][0] == 0:
        raise Wrong(f"not refused: {ours}")
    return f"refused as on rxe: {ours[0][1].strip()}"


def only_up(_):
    """What a queue pair has counted stays when it is destroyed, all the time."""
    last, asked = counters(), 0
    with program("/opt/tbib/verbs_scale churn -n 300") as running:
        while running.poll() is None:
            now = counters()
            down = [f"{name} fell from {last[name]} to {value}" for name, value in now.items()
                    if name in STANDARD and value < last[name]]
            if down:
                raise Wrong("; ".join(down))
            last, asked = now, asked + 1
    expect(running.returncode, 0, f"exit code of verbs_scale\n{read(SAID)}")
    return f"asked {asked} times while queue pairs came and went"


CHECKS = (("names of counters", counter_names), ("counters of traffic", counted_traffic),
          ("counters of operations", counted_operations), ("counters of errors", counted_errors),
          ("counters of one QP", counters_of_a_qp), ("counters never fall", only_up))
