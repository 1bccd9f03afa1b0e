# SPDX-License-Identifier: Apache-2.0
"""
What administrators' tools show of tbib0 and do to it, inside a guest:

    surface_guest.py serve              the other end, which runs until it is killed
    surface_guest.py GROUP... PEER      the checks of these groups; PEER is the other end's address

Prints one JSON object a check: its name, whether it passed, a note, what went wrong.
"""

import collections
import contextlib
import errno
import json
import re
import subprocess
import sys
import time

DEVICE = "tbib0"
PORT = f"/sys/class/infiniband/{DEVICE}/ports/1"
# Network devices on top of tbib0 with its MAC: name, what ip says of the type, addresses of PEER
# and of this end, the port of PEER's ibv_rc_pingpong.
Upper = collections.namedtuple("Upper", "name kind theirs ours port")
UPPERS = (Upper("vlan5", "vlan id 5", "10.99.5.1", "10.99.5.2", 18605),
          Upper("ipv0", "ipvlan mode l2", "10.99.7.1", "10.99.7.2", 18607))
PINGPONG_PORT = 18601
IDLE_PORT = 18609
SAID = "/run/surface.program"
# What rxe counts, by its names, which are mlx5's and irdma's where they have them.
STANDARD = ("sent_pkts rcvd_pkts duplicate_request out_of_seq_request rcvd_rnr_err send_rnr_err "
            "rcvd_seq_err ack_deferred retry_exceeded_err retry_rnr_exceeded_err "
            "completer_retry_err send_err link_downed rdma_sends rdma_recvs").split()


class Wrong(Exception):
    """Says in one line what is not as it should be; more lines may follow."""


def sh(command, seconds=20):
    """Output of a command that must succeed."""
    code, output = attempt(command, seconds)
    if code:
        raise Wrong(f"'{command}' ended with {code}\n{output}")
    return output


def attempt(command, seconds=20):
    done = subprocess.run(["timeout", "-k", "1", str(seconds), "sh", "-c", command],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace", check=False)
    return done.returncode, done.stdout


def until(what, condition, seconds=10):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise Wrong(f"waited {seconds} s for {what}")
        time.sleep(0.05)


def expect(value, wanted, what):
    if value != wanted:
        raise Wrong(f"{what} is {value!r}, not {wanted!r}")


def read(path):
    with open(path, encoding="ascii") as stream:
        return stream.read().strip()


def rdma(words, flags=""):
    return json.loads(sh(f"rdma -j {flags} {words}") or "[]")


def ethtool(flag):
    return json.loads(sh(f"ethtool --json {flag} {DEVICE}"))[0]


@contextlib.contextmanager
def program(command):
    """A program that runs meanwhile; what it says is in SAID."""
    with open(SAID, "w", encoding="ascii") as said:
        running = subprocess.Popen(command.split(), stdin=subprocess.DEVNULL, stdout=said,
                                   stderr=subprocess.STDOUT)
    try:
        yield running
    finally:
        running.kill()
        running.wait()


@contextlib.contextmanager
def rxe():
    """For comparing: the device rxesurface, on a network device that leads nowhere."""
    sh("modprobe -a dummy rdma_rxe && ip link add surface0 type dummy && ip link set surface0 up")
    sh("rdma link add rxesurface type rxe netdev surface0")
    try:
        yield
    finally:
        sh("rdma link delete rxesurface; ip link delete surface0")


def gid_index(address, device=DEVICE):
    """The index of an IPv4 address' GID, which comes a moment after the address."""
    gid = "0000:0000:0000:0000:0000:ffff:" + "{:02x}{:02x}:{:02x}{:02x}".format(
        *map(int, address.split(".")))
    found = []

    def look():
        for index in range(32):
            with contextlib.suppress(OSError):
                if read(f"/sys/class/infiniband/{device}/ports/1/gids/{index}") == gid:
                    found.append(index)
                    return True
        return False

    until(f"a GID of {address}", look)
    return found[0]


def own_address():
    found = re.search(r"inet ([\d.]+)/", sh(f"ip -4 address show {DEVICE}"))
    if not found:
        raise Wrong(f"{DEVICE} has no IPv4 address")
    return found.group(1)


# ---- the other end ---------------------------------------------------------------------------

def add_upper(upper, address, netns=""):
    """In a namespace, if one is given."""
    sh(f"ip link add link {DEVICE} name {upper.name} type {upper.kind}")
    if netns:
        sh(f"ip link set {upper.name} netns {netns}")
    there = f"ip -n {netns}" if netns else "ip"
    sh(f"{there} address add {address}/24 dev {upper.name} && {there} link set {upper.name} up")


def serve():
    servers = {PINGPONG_PORT: own_address()}
    for upper in UPPERS:
        add_upper(upper, upper.theirs)
        servers[upper.port] = upper.theirs
    commands = [f"while :; do ibv_rc_pingpong -d {DEVICE} -g {gid_index(address)} -p {port} "
                "-n 100; done" for port, address in servers.items()]
    running = [subprocess.Popen(["sh", "-c", command], stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
               for command in (*commands, "rping -s -P")]
    print("ready", flush=True)
    running[-1].wait()


# ---- traffic ---------------------------------------------------------------------------------

def pingpong(peer, address, port=PINGPONG_PORT, inside=""):
    """100 messages of 4 KiB each way, from the GID of an address of ours."""
    command = (f"{inside} ibv_rc_pingpong -d {DEVICE} -g {gid_index(address)} -p {port} -n 100 "
               f"{peer}")
    # the server may just be between two clients
    for _ in range(8):
        code, output = attempt(command, 15)
        if "Couldn't connect" not in output:
            break
        time.sleep(0.25)
    if code:
        raise Wrong(f"'{command}' ended with {code}\n{output}")


def rping(peer, inside=""):
    output = sh(f"{inside} rping -c -a {peer} -C 5 -v", 15)
    expect(output.count("ping data: rdma-ping-"), 5, "rping's answers")


# ---- the port and its cable ------------------------------------------------------------------

def cable_mbps():
    """What the Thunderbolt core says of the peer's cable."""
    for name in sh("ls /sys/bus/thunderbolt/devices").split():
        folder = f"/sys/bus/thunderbolt/devices/{name}"
        with contextlib.suppress(FileNotFoundError):
            lane = float(read(f"{folder}/rx_speed").split()[0])
            return round(lane * 1000 * int(read(f"{folder}/rx_lanes")))
    raise Wrong("no device of the Thunderbolt bus has a speed")


def port_rate(_):
    mbps = cable_mbps()
    rate = read(f"{PORT}/rate")
    expect(float(rate.split()[0]) * 1000, mbps, f"rate '{rate}' in Mb/s")
    info = sh(f"ibv_devinfo -v -d {DEVICE}")
    lanes = int(re.search(r"active_width:\s+(\d+)X", info).group(1))
    lane = float(re.search(r"active_speed:\s+([\d.]+) Gbps", info).group(1))
    expect(lanes * lane * 1000, mbps, "width times speed of ibv_devinfo in Mb/s")
    expect(int(re.search(r"Speed: (\d+)Mb/s", sh(f"ethtool {DEVICE}")).group(1)), mbps,
           "speed of ethtool in Mb/s")
    return rate


def port_state(_):
    for name, value in (("state", "4: ACTIVE"), ("phys_state", "5: LinkUp"),
                        ("link_layer", "Ethernet")):
        expect(read(f"{PORT}/{name}"), value, name)
    info = sh(f"ibv_devinfo -v -d {DEVICE}")
    for text in ("PORT_ACTIVE (4)", "LINK_UP (5)", "active_mtu:\t\t4096", "RoCE v2"):
        if text not in info:
            raise Wrong(f"ibv_devinfo -v does not say '{text}'\n{info}")
    link = rdma(f"link show {DEVICE}/1")[0]
    for key, value in (("state", "ACTIVE"), ("physical_state", "LINK_UP"), ("netdev", "tbib0")):
        expect(link[key], value, f"{key} of rdma link")


def ibstat(_):
    folder = f"/sys/class/infiniband/{DEVICE}"
    rate = read(f"{PORT}/rate")
    shown = sh(f"ibstat {DEVICE}")
    facts = dict(re.findall(r"^\s*([\w ]+): (\S.*)$", shown, re.M))
    guid = "0x" + read(f"{folder}/node_guid").replace(":", "")
    for name, value in (("State", "Active"), ("Physical state", "LinkUp"),
                        ("Rate", rate.split()[0]), ("Link layer", "Ethernet"),
                        ("Number of ports", "1"), ("Node GUID", guid),
                        ("Firmware version", read(f"{folder}/fw_ver"))):
        expect(facts.get(name), value, f"'{name}' of ibstat\n{shown}")
    shown = sh(f"ibstatus {DEVICE}")
    for text in ("4: ACTIVE", "5: LinkUp", rate, "Ethernet"):
        if text not in shown:
            raise Wrong(f"ibstatus does not say '{text}'\n{shown}")
    return facts["Rate"]


def identity(_):
    folder = f"/sys/class/infiniband/{DEVICE}"
    version = read("/sys/module/tbib/version")
    expect(read(f"{folder}/fw_ver"), version, "fw_ver")
    expect(read(f"{folder}/node_type"), "1: CA", "node_type")
    guid = read(f"{folder}/node_guid")
    expect(read(f"{folder}/sys_image_guid"), guid, "sys_image_guid")
    device = rdma(f"dev show {DEVICE}")[0]
    expect(device["node_guid"], guid, "node_guid of rdma dev")
    expect(device["fw"], version, "fw of rdma dev")
    return f"{guid}, {version}"


def node_description(_):
    path = f"/sys/class/infiniband/{DEVICE}/node_desc"
    old = read(path)
    for text in ("rack 7, shelf 2", "x" * 64, old):
        with open(path, "w", encoding="ascii") as stream:
            stream.write(text)
        # the core ends what it shows with a line feed, within the 64 bytes
        expect(read(path)[:63], text[:63], "node_desc")


# ---- ethtool ---------------------------------------------------------------------------------

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


# ---- resources -------------------------------------------------------------------------------

KINDS = ("qp", "cq", "mr", "pd", "ctx", "cm_id", "srq")


def owned(kind, pid, device=DEVICE):
    where = f"link {device}/1" if kind in ("qp", "cm_id") else f"dev {device}"
    return [row for row in rdma(f"resource show {kind} {where}", "-dd") if row.get("pid") == pid]


def holds(command, kinds, look=lambda found: None):
    """The program's objects are there, with its id and name, while it runs; nothing afterwards."""
    name = command.split()[0]
    with program(command) as running:
        until(f"objects of {name}", lambda: all(owned(kind, running.pid) for kind in kinds))
        found = {kind: owned(kind, running.pid) for kind in KINDS}
        for kind in kinds:
            expect(found[kind][0]["comm"], name[:15], f"comm of its {kind}")
            # what -dd shows is text as well
            if f"pid {running.pid} " not in sh(f"rdma -dd resource show {kind}"):
                raise Wrong(f"'rdma -dd resource show {kind}' does not have the process")
        look(found)
        pid = running.pid
    until("its objects to go", lambda: not any(owned(kind, pid) for kind in KINDS))
    return ", ".join(f"{len(rows)} {kind}" for kind, rows in found.items() if rows)


def rc_resources(_):
    def look(found):
        qp, mr = found["qp"][0], found["mr"][0]
        expect(qp["type"], "RC", "type")
        expect(qp["state"], "INIT", "state")
        expect(mr["mrlen"], 4096, "mrlen")
        expect(qp["pdn"], found["pd"][0]["pdn"], "PD of the QP")
        expect(mr["pdn"], found["pd"][0]["pdn"], "PD of the MR")
        expect(found["cq"][0]["ctxn"], found["ctx"][0]["ctxn"], "context of the CQ")
        expect(len(rdma(f"resource show qp link {DEVICE}/1 lqpn {qp['lqpn']}")), 1,
               "QPs with that number")

    return holds(f"ibv_rc_pingpong -d {DEVICE} -p {IDLE_PORT}", ("qp", "cq", "mr", "pd", "ctx"),
                 look)


def srq_resources(_):
    return holds(f"ibv_srq_pingpong -d {DEVICE} -p {IDLE_PORT}", ("qp", "srq", "mr", "ctx"))


def cm_resources(_):
    address = own_address()

    def look(found):
        expect(found["cm_id"][0]["state"], "LISTEN", "state")
        expect(found["cm_id"][0]["src-addr"], f"{address}:{IDLE_PORT}", "src-addr")

    return holds(f"rping -s -a {address} -p {IDLE_PORT}", ("cm_id",), look)


# ---- statistics ------------------------------------------------------------------------------

def counters():
    # the core shows again what it has asked for less than 10 ms ago
    time.sleep(0.05)
    return {key: value for key, value in rdma(f"statistic show link {DEVICE}/1")[0].items()
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


def grown(before):
    return {name: value - before.get(name, 0) for name, value in counters().items()}


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


def counted_errors(_):
    """Each error is provoked between two QPs of ours."""
    import surface_errors  # pylint: disable=import-outside-toplevel

    for name, provoke, wanted in surface_errors.ERRORS:
        before = counters()
        provoke(DEVICE, gid_index(own_address()))
        try:
            at_least(grown(before), dict.fromkeys(wanted.split(), 1))
        except Wrong as error:
            raise Wrong(f"{name}: {error}") from None
    return ", ".join(name for name, *_ in surface_errors.ERRORS)


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


# ---- network namespaces ----------------------------------------------------------------------

NETNS = "tbib-test"
INSIDE = f"ip netns exec {NETNS}"


@contextlib.contextmanager
def namespace():
    sh(f"ip netns add {NETNS} && ip -n {NETNS} link set lo up")
    try:
        yield
    finally:
        sh(f"ip netns delete {NETNS}")


@contextlib.contextmanager
def moved_network_device():
    """tbib0, the network device, in the namespace with its own address."""
    address = own_address()
    sh(f"ip link set {DEVICE} netns {NETNS}")
    sh(f"ip -n {NETNS} address add {address}/24 dev {DEVICE}")
    sh(f"ip -n {NETNS} link set {DEVICE} up")
    yield address


def network_comes_back():
    """It is in the first namespace again, and the daemon has given it its addresses."""
    until("the network device", lambda: attempt(f"ip link show {DEVICE}")[0] == 0)
    until("its address", lambda: "inet " in sh(f"ip -4 address show {DEVICE}"))


def uppers_elsewhere(_):
    for upper in UPPERS:
        with namespace():
            add_upper(upper, upper.ours, NETNS)
            pingpong(upper.theirs, upper.ours, upper.port, INSIDE)
            rping(upper.theirs, INSIDE)
    return "VLAN, ipvlan: queue pairs and rdma_cm"


def macvlan(_):
    """Its MAC is no host's: connecting to its GID fails at once, instead of never being answered."""
    import surface_errors  # pylint: disable=import-outside-toplevel

    address = "10.99.6.2"
    add_upper(Upper("macv0", "macvlan mode bridge", "", address, 0), address)
    try:
        code = surface_errors.refused(DEVICE, gid_index(address))
    finally:
        sh("ip link delete macv0")
    expect(code, errno.ENETUNREACH, "errno")
    return "refused"


def network_device_elsewhere(peer):
    with namespace():
        with moved_network_device() as address:
            pingpong(peer, address, inside=INSIDE)
            rping(peer, INSIDE)
            expect(rdma(f"link show {DEVICE}/1")[0].get("netdev"), None, "netdev, seen from here,")
    network_comes_back()
    pingpong(peer, own_address())


def seen(inside=""):
    listed = DEVICE in sh(f"{inside} rdma dev")
    expect(DEVICE in sh(f"{inside} ibv_devices"), listed, "whether ibv_devices lists it")
    return listed


def rdma_device_elsewhere(peer):
    sh("rdma system set netns exclusive")
    try:
        with namespace():
            expect(seen(INSIDE), False, "whether the namespace sees the device")
            with program(f"stdbuf -oL ibv_asyncwatch -d {DEVICE}"):
                until("ibv_asyncwatch to have it open", lambda: "FD" in read(SAID))
                sh(f"rdma dev set {DEVICE} netns {NETNS}")
                until("whoever has it open to hear that it went",
                      lambda: "DEVICE_FATAL" in read(SAID))
            expect((seen(), seen(INSIDE)), (False, True), "whether the device is here, there,")
            if attempt(f"ibv_devinfo -d {DEVICE}")[0] == 0:
                raise Wrong("it can be opened from outside")
            with moved_network_device() as address:
                # sysfs has another view inside
                script = (f"import surface_guest as s; s.pingpong('{peer}', '{address}'); "
                          f"s.rping('{peer}')")
                sh(f"{INSIDE} python3 -B -c \"import sys; sys.path.insert(0, "
                   f"'{sys.path[0]}'); {script}\"", 60)
        until("the RDMA device", seen)
    finally:
        sh("rdma system set netns shared")
    network_comes_back()
    pingpong(peer, own_address())


GROUPS = {
    "port": (("rate is the cable's", port_rate), ("state", port_state), ("ibstat", ibstat),
             ("identity", identity), ("node description", node_description)),
    "ethtool": (("ethtool -i", driver_info), ("ethtool -g", ring_sizes),
                ("ethtool -c, -C", coalescing), ("ethtool -k", features),
                ("ethtool -S", network_counters)),
    "resource": (("resources of ibv_rc_pingpong", rc_resources),
                 ("resources of ibv_srq_pingpong", srq_resources),
                 ("resources of rping", cm_resources)),
    "statistic": (("names of counters", counter_names), ("counters of traffic", counted_traffic),
                  ("counters of errors", counted_errors),
                  ("counters of one QP", counters_of_a_qp)),
    "netns": (("upper devices in a namespace", uppers_elsewhere),
              ("queue pair over macvlan", macvlan),
              ("network device in a namespace", network_device_elsewhere),
              ("RDMA device in a namespace", rdma_device_elsewhere)),
}


def check(name, function, peer):
    row = {"name": name, "ok": True, "note": "", "below": []}
    try:
        row["note"] = function(peer) or ""
    except (Wrong, OSError, LookupError, ValueError, AttributeError,
            subprocess.TimeoutExpired) as error:
        row["ok"] = False
        row["below"] = (str(error).splitlines() if isinstance(error, Wrong)
                        else [f"{type(error).__name__}: {error}"])
    print(json.dumps(row), flush=True)


def main():
    if sys.argv[1:] == ["serve"]:
        serve()
        return
    *groups, peer = sys.argv[1:]
    for group in groups:
        for name, function in GROUPS[group]:
            check(name, function, peer)


if __name__ == "__main__":
    main()
