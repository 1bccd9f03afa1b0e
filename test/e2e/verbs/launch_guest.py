# SPDX-License-Identifier: Apache-2.0
"""
Starts commands on other guests, as mpirun wants it of ssh, which guests do not have:

    launch_guest.py                   serves: runs what it is told, without asking who
    launch_guest.py HOST WORD...      runs a command on that host; its output and exit code
"""

import os
import socket
import subprocess
import sys
import threading

PORT = 18401
END = b"\0exit "


def serve_one(connection):
    with connection:
        command = connection.makefile("rb").readline().decode().rstrip("\n")
        with subprocess.Popen(command, shell=True, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as child:
            while data := os.read(child.stdout.fileno(), 4096):
                connection.sendall(data)
        connection.sendall(END + str(child.returncode).encode())


def serve():
    with socket.create_server(("", PORT), backlog=16) as listener:
        while True:
            threading.Thread(target=serve_one, args=(listener.accept()[0],), daemon=True).start()


def ask(host, words):
    with socket.create_connection((host, PORT), 20) as connection:
        connection.settimeout(None)
        connection.sendall(" ".join(words).encode() + b"\n")
        answer = b""
        while data := connection.recv(4096):
            answer += data
    output, _, code = answer.rpartition(END)
    sys.stdout.buffer.write(output)
    return int(code or 1)


if len(sys.argv) > 1:
    sys.exit(ask(sys.argv[1], sys.argv[2:]))
serve()
