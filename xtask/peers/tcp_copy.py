"""A plain copy over TCP, to hold a share against: `tcp_copy.py receive ADDRESS PORT FILE` and `tcp_copy.py send ADDRESS PORT FILE`.

The receiver writes what it gets to a file and prints how long that took, from the first bytes on: `seconds` until the last were
handed to the file system, `synced` until they were on the disk.
"""

import json
import os
import socket
import sys
import time


def receive(address, port, path):
    listener = socket.create_server((address, port))
    print(json.dumps({"ready": True}), flush=True)
    link, _ = listener.accept()
    buffer = bytearray(1 << 20)
    view = memoryview(buffer)
    began, total = None, 0
    with open(path, "wb", buffering=0) as file:
        while count := link.recv_into(buffer):
            if began is None:
                began = time.monotonic()
            total += count
            left = view[:count]
            while left:
                left = left[file.write(left):]
        ended = time.monotonic()
        os.fsync(file.fileno())
        synced = time.monotonic()
    print(json.dumps({"bytes": total, "seconds": ended - began, "synced": synced - began}), flush=True)


def send(address, port, path):
    with socket.create_connection((address, port)) as link, open(path, "rb") as file:
        link.sendfile(file)


if __name__ == "__main__":
    what, address, port, path = sys.argv[1:]
    {"receive": receive, "send": send}[what](address, int(port), path)
