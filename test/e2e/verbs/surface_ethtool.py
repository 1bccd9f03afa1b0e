# SPDX-License-Identifier: Apache-2.0
"""The network device, as ethtool shows it."""

import json
import re

from surface_common import DEVICE, Wrong, attempt, expect, read, sh


def ethtool(flag):
    return json.loads(sh(f"ethtool --json {flag} {DEVICE}"))[0]


def driver_info(_):
    output = sh(f"ethtool -i {DEVICE}")
    info = dict(line.split(": ", 1) for line in output.splitlines() if ": " in line)
    expect(info["driver"], "tbib", "driver")
    expect(info["version"], read("/sys/module/tbib/version"), "version")
    expect(sh(f"readlink -f /sys/class/net/{DEVICE}/device").strip().rpartition("/")[2],
           info["bus-info"], "the device behind bus-info")


def ring_sizes(_):
    ring = ethtool("-g")
    for way in "rx", "tx":
        if not 0 < ring[way] <= ring[f"{way}-max"]:
            raise Wrong(f"{way} has {ring[way]} of {ring[f'{way}-max']} descriptors")
    code, output = attempt(f"ethtool -G {DEVICE} rx 64")
    if code == 0 or "not supported" not in output:
        raise Wrong(f"'ethtool -G' ended with {code}\n{output}")
    return f"rx {ring['rx']}, tx {ring['tx']}"


def coalescing(_):
    """The core's gap between interrupts is told, and an attempt to change it is refused."""
    free = "tb_ring_throttling" in read("/proc/kallsyms")
    wanted = 0 if free else 128
    expect(ethtool("-c").get("rx-usecs"), wanted, "rx-usecs")
    for words, why in (("rx-usecs 17", "is fixed"), ("tx-usecs 17", "unsupported parameter"),
                       ("adaptive-rx on", "unsupported parameter")):
        code, output = attempt(f"ethtool -C {DEVICE} {words}")
        if code == 0 or why not in output:
            raise Wrong(f"'ethtool -C {words}' ended with {code}\n{output}")
    expect(ethtool("-c").get("rx-usecs"), wanted, "rx-usecs afterwards")
    return f"rx-usecs {wanted}"


def features(peer):
    """Offloads can be switched off and on, and traffic goes on."""
    for feature in ("tx-checksum-ip-generic", "rx-checksumming", "tx-scatter-gather",
                    "tx-tcp-segmentation", "tx-udp-segmentation"):
        for value in ("off", "on"):
            # the older of its two names is shown, and the newer one is set
            sh(f"ethtool -K {DEVICE} {feature.replace('checksumming', 'checksum')} {value}")
            state = ethtool("-k")[feature]
            expect(state["active"], value == "on", f"{feature} after '{value}'")
            sh(f"ping -q -c 1 -W 5 -s 20000 {peer}")


def network_statistics():
    return {name: int(value) for name, value in
            re.findall(r"^ +(\w+): (\d+)$", sh(f"ethtool -S {DEVICE}"), re.MULTILINE)}


def network_counters(peer):
    before = network_statistics()
    sh(f"ping -q -c 20 -i 0.01 -s 20000 {peer}")
    after = network_statistics()
    for name in ("fabric_tx_frames", "fabric_tx_trains", "fabric_rx_trains", "fabric_tx_packets",
                 "fabric_rx_packets"):
        if after[name] - before[name] < 20:
            raise Wrong(f"{name} grew by {after[name] - before[name]} with 20 pings")
    for name in ("fabric_tx_bytes", "fabric_rx_bytes"):
        if after[name] - before[name] < 20 * 20000:
            raise Wrong(f"{name} grew by {after[name] - before[name]} with 20 pings of 20 kB")
    sent = sum(after[name] - before[name] for name in ("tx_copied", "tx_zerocopy", "tx_gathered"))
    if sent < 20:
        raise Wrong(f"{sent} frames were copied, sent in place or gathered")


CHECKS = (("ethtool -i", driver_info), ("ethtool -g", ring_sizes), ("ethtool -c, -C", coalescing),
          ("ethtool -k", features), ("ethtool -S", network_counters))
