# SPDX-License-Identifier: Apache-2.0
"""
Runs pairs of programs, one on each of two guests, without a word from outside:

    pairs_guest.py CASES                on the server's host
    pairs_guest.py CASES ADDRESS        on the client's host, ADDRESS is the server's

CASES is a JSON list; each case has a name, a server's and a client's command ("@" stands for
ADDRESS), a time limit in seconds, and what the server waits for before the client starts: a
port that somebody listens on, by TCP or by rdma_cm, or nothing, which is half a second. The client's side prints one
JSON object a case: exit codes, outputs, seconds.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time

CONTROL_PORT = 18400
KEPT = 8000
LISTEN = "0A"


def listening(port):
    wanted = f":{port:04X}"
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with open(table, encoding="ascii") as stream:
            for line in stream:
                fields = line.split()
                if fields[1].endswith(wanted) and fields[3] == LISTEN:
                    return True
    shown = subprocess.run(["rdma", "resource", "show", "cm_id"], stdout=subprocess.PIPE,
                           text=True, check=False).stdout
    return any(f":{port} " in f"{line} " and " LISTEN " in line for line in shown.splitlines())


class Program:
    """A command with a time limit; its whole process group ends with it."""

    def __init__(self, command, seconds):
        self.seconds = seconds
        self.end = time.monotonic() + seconds
        self.process = subprocess.Popen(command, shell=True, start_new_session=True, text=True,
                                        errors="replace", stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def wait_ready(self, port):
        ready = time.monotonic() + (15 if port else 0.5)
        while time.monotonic() < ready and self.process.poll() is None:
            if port and listening(port):
                return
            time.sleep(0.02)

    def finish(self, grace=None):
        """Exit code and output; a program that is not through in time is killed."""
        seconds = self.end - time.monotonic() if grace is None else grace
        try:
            output = self.process.communicate(timeout=max(seconds, 0.1))[0]
            return self.process.returncode, output[-KEPT:]
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            output = self.process.communicate()[0]
            return "timeout", output[-KEPT:]


def serve(cases):
    with socket.create_server(("", CONTROL_PORT)) as listener:
        connection = listener.accept()[0]
    with connection, connection.makefile("rw") as control:
        for case in cases:
            program = Program(case["server"], case["seconds"])
            program.wait_ready(case.get("port"))
            control.write("go\n")
            control.flush()
            client = control.readline()
            if not client:
                break
            # a server whose client has ended has some seconds to end too
            code, output = program.finish(10)
            control.write(json.dumps({"code": code, "output": output}) + "\n")
            control.flush()


def ask(cases, address):
    for _ in range(600):
        try:
            connection = socket.create_connection((address, CONTROL_PORT), 5)
            break
        except OSError:
            time.sleep(0.1)
    else:
        sys.exit(f"no answer from {address}")
    connection.settimeout(None)
    with connection, connection.makefile("rw") as control:
        for case in cases:
            control.readline()
            started = time.monotonic()
            code, output = Program(case["client"].replace("@", address), case["seconds"]).finish()
            seconds = time.monotonic() - started
            control.write("done\n")
            control.flush()
            server = json.loads(control.readline())
            print(json.dumps({"name": case["name"], "seconds": round(seconds, 1), "code": code,
                              "output": output, "server": server}), flush=True)


def main():
    with open(sys.argv[1], encoding="utf-8") as stream:
        cases = json.load(stream)
    if len(sys.argv) > 2:
        ask(cases, sys.argv[2])
    else:
        serve(cases)


main()
