# SPDX-License-Identifier: Apache-2.0
"""Virtual hosts in a chain, with tbib in each and the programs that the suites run."""

import concurrent.futures
import contextlib
import os
import re
import shutil
import subprocess
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
HERE = os.path.dirname(os.path.abspath(__file__))
GUEST_FOLDER = "/opt/tbib"
MEMORY = 768  # MiB of each guest
TOOLS = ("mpi_allreduce", "nccl_shape", "verbs_check", "verbs_group", "verbs_rules", "verbs_scale")
GUEST_SCRIPTS = sorted(name for name in os.listdir(HERE)
                       if re.fullmatch(r"((test_)?tbib_.*|surface_.*|.*_guest)\.py", name))

BOOT = """k={folder}/tbib.ko
modprobe -a $(modinfo -F depends $k | tr , ' ') && insmod $k && mkdir -p /run/tbib
setsid {folder}/tbibd --no-modprobe </dev/null >/run/tbib/log 2>&1 &"""
ACTIVE = ("for i in $(seq 80); do rdma link show tbib0/1 | grep -q ACTIVE && "
          "ip -br -4 a show tbib0 | grep -q '/' && exit 0; sleep 0.5; done; exit 1")
STATE = ("rdma link; ip -br a; ls /sys/bus/thunderbolt/devices; tail -n 5 /run/tbib/log; "
         "dmesg | grep -E 'thunderbolt|tbib' | tail -n 12")
# Of a host where a row has just failed: clocks, what still runs, counters, the drivers' last words.
EVIDENCE = """echo "up and idle $(cat /proc/uptime) s, load $(cat /proc/loadavg), it is $(date +%T)"
ps -eo pid,stat,time,wchan:20,args --sort=-time --no-headers | grep -v '\\[' | head -n 6
cd /sys/class/infiniband/tbib0/ports/1/hw_counters && grep -v ':0$' * /dev/null | tr '\n' ' '; echo
dmesg | grep -E 'thunderbolt|tbib' | tail -n 6"""

# For comparing: rxe on a network device that leads nowhere, so over loopback only.
RXE_ADDRESS = "10.88.0.1"
RXE = f"""set -e
modprobe dummy && modprobe rdma_rxe
ip link add rxenet type dummy && ip link set rxenet up && ip address add {RXE_ADDRESS}/24 dev rxenet
rdma link add rxe0 type rxe netdev rxenet"""


# What a kernel prints when something is wrong with it.
SPLAT = re.compile(r"BUG:|WARNING:|UBSAN:|KASAN:|DMA-API: (?!preallocated|debugging enabled)|ODEBUG:|Oops|"
                   r"general protection|INFO: (?:task|rcu|trying)|detected stall|rcu.*stall|"
                   r"unregister_netdevice: waiting|refcount_t:|corruption|cut here")
# What the drivers say themselves or the core of tbib0, but for what is told of every module that is not the kernel's.
OWN_WORDS = re.compile(r"\btbib0?: (?!.*(?:taints kernel|tainting kernel))")
GRAVE = ("emerg", "alert", "crit", "err", "warn")


class VerbsError(Exception):
    """Says in one line what did not work; detail is what the program at fault printed."""

    def __init__(self, text, detail=""):
        super().__init__(text)
        self.detail = detail


def is_complaint(line):
    """Of a kernel log: a report, or a warning of ours."""
    level = line.split(":")[1].strip() if line.count(":") > 1 else ""
    return bool(SPLAT.search(line) or (level in GRAVE and OWN_WORDS.search(line)))


def call(command, timeout=3600):
    done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace",
                          timeout=timeout, check=False)
    if done.returncode != 0:
        raise VerbsError(f"'{' '.join(command)}' ended with {done.returncode}", done.stdout)
    return done.stdout


def together(*jobs):
    """Runs the jobs at once and returns what they return; the first one that failed raises."""
    with concurrent.futures.ThreadPoolExecutor(len(jobs)) as pool:
        running = [pool.submit(job) for job in jobs]
        return [job.result() for job in running]


class Lab:
    """Hosts 0 to hosts - 1, each cabled to the next one."""

    def __init__(self, options, hosts, files=(), cpus=1, memory=MEMORY):
        """files: of a suite, by the name that they have in the guests' folder; memory in MiB."""
        self.up = ["--memory", str(memory)]  # more options of 'tblab up'
        self.options = options
        self.cpus = cpus
        self.hosts = hosts
        self.release = {"7.3": "7.3", "newest": "7.3", "debug": "debug"}.get(options.kernel, "6.12")
        self.built = options.built or self.build()
        self.folder = tempfile.mkdtemp(prefix="tbib-verbs-")
        programs = ["test/e2e/tbib/tbibd", "test/e2e/tbib/tbibctl",
                    *(f"test/tools/{tool}" for tool in TOOLS)]
        sources = [f"module/tbib-{self.release}/tbib.ko", *programs]
        for source in [os.path.join(self.built, name) for name in sources]:
            copy = shutil.copy(source, self.folder)
            os.chmod(copy, 0o755)
        for name in GUEST_SCRIPTS:
            shutil.copy(os.path.join(HERE, name), self.folder)
        for name, source in dict(files).items():
            shutil.copy(source, os.path.join(self.folder, name))
        self.told = {host: 0 for host in range(hosts)}

    def build(self):
        call(["bazel", "build", "//test/lab/cli:tblab", "//test/e2e/tbib:userspace",
              f"//module:tbib-{self.release}", "//test/tools:all"])
        return os.path.join(ROOT, "bazel-bin")

    def tblab(self, *arguments, timeout=600):
        tblab = os.path.join(self.built, "test/lab/cli/tblab")
        return call([tblab, "--name", self.options.name, *arguments], timeout)

    def run(self, host, command, timeout=60):
        return self.tblab("run", "--timeout", str(timeout), str(host), command,
                          timeout=timeout + 30)

    def everywhere(self, command, timeout=60):
        return together(*(lambda host=host: self.run(host, command, timeout)
                          for host in range(self.hosts)))

    def until(self, host, what, command, seconds):
        """Waits in the guest until a command succeeds there."""
        self.run(host, f"for i in $(seq {seconds * 4}); do {command} && exit; sleep 0.25; done; "
                       f"echo 'waited {seconds} s for: {what}'; exit 1", seconds * 3 + 30)

    def __enter__(self):
        try:
            self.tblab("up", "--hosts", str(self.hosts), "--kernel", self.options.kernel,
                       "--preset", self.options.preset, "--cpus", str(self.cpus), *self.up,
                       "--modules", "thunderbolt,ib_uverbs,rdma_ucm", "--extra", self.folder)
            self.everywhere(BOOT.format(folder=GUEST_FOLDER))
            self.until_active()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        with contextlib.suppress(VerbsError):
            self.tblab("down")
        shutil.rmtree(self.folder, ignore_errors=True)

    def until_active(self):
        try:
            self.everywhere(ACTIVE, timeout=120)
        except VerbsError:
            raise VerbsError("a port does not become active",
                             "\n".join(self.everywhere(STATE))) from None

    def replug(self, seconds):
        """Takes the first cable out for some seconds."""
        self.tblab("unplug", "0")
        time.sleep(seconds)
        self.tblab("plug", "0")
        self.until_active()

    def address(self, host):
        return re.search(r"([\d.]+)/", self.run(host, "ip -br -4 a show tbib0")).group(1)

    def complaints(self):
        """What the kernels had to say since this was last asked."""
        lines = []
        for host, told in self.told.items():
            log = self.log(host)
            self.told[host] = len(log)
            # a program's own fault is told by how it ended
            lines += [f"host {host}: {line}" for line in log[told:]
                      if is_complaint(line) and "] traps: " not in line]
        return lines

    def evidence(self):
        """How the hosts are, for who reads of a row that failed."""
        lines = []
        for host in range(self.hosts):
            try:
                text = self.run(host, EVIDENCE, 20)
            except (VerbsError, subprocess.TimeoutExpired) as error:
                text = f"{error}\n{getattr(error, 'detail', '')}"
            lines += [f"host {host}: {line}" for line in text.splitlines()]
        return lines

    def log(self, host):
        """The kernel's, each line with its level in front; all of it, or there is an error."""
        lines = self.run(host, "dmesg -x", timeout=120).splitlines()
        if not lines or "Linux version" not in lines[0]:
            raise VerbsError(f"the kernel log of host {host} has lost its beginning")
        return lines


def add_rxe(lab, host):
    """The device rxe0 in a guest."""
    lab.run(host, RXE)


def kernel_row(lab, table):
    complaints = lab.complaints()
    table.row("kernel logs", fail=1 if complaints else 0, ok=0 if complaints else 1,
              below=complaints)


def attempt(table, name, action):
    """One row for one action; what it returns is the row's note."""
    try:
        note = action()
        table.row(name, ok=1, note=note or "")
    except VerbsError as error:
        table.row(name, fail=1, below=[str(error), *error.detail.splitlines()[-8:]])
