"""Records every frame that others send and an interface sees, whomever it is for, as pcap, until standard input ends:
`record_frames.py INTERFACE FILE`.

Prints what it got at the end; `dropped` is what the kernel had no room for.
"""

import json
import socket
import struct
import sys
import threading

SOL_PACKET, PACKET_ADD_MEMBERSHIP, PACKET_STATISTICS, PACKET_MR_PROMISC = 263, 1, 6, 1
ETH_P_ALL = 3
SO_RCVBUFFORCE = 33
ROOM = 512 << 20


def main():
    interface, path = sys.argv[1:]
    frames = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    frames.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, ROOM)
    frames.bind((interface, ETH_P_ALL))
    member = struct.pack("iHH8s", socket.if_nametoindex(interface), PACKET_MR_PROMISC, 0, b"")
    frames.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, member)
    frames.settimeout(0.2)
    own = frames.getsockname()[4]
    count, total, foreign = 0, 0, 0
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    buffer = bytearray(1 << 17)
    view = memoryview(buffer)
    dropped = 0
    with open(path, "wb", buffering=1 << 20) as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, len(buffer), 1))
        print(json.dumps({"ready": True}), flush=True)
        while True:
            try:
                size, _, _, address = frames.recvmsg_into([buffer])
            except TimeoutError:
                if ended.is_set():
                    break
                continue
            if buffer[6:12] == own:
                # What this host says itself it has not learned from others.
                continue
            count += 1
            total += size
            if buffer[:6] != own and not buffer[0] & 1:
                foreign += size
            file.write(struct.pack("<IIII", 0, 0, size, size))
            file.write(view[:size])
        _, dropped = struct.unpack("II", frames.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
    print(json.dumps({"frames": count, "bytes": total, "foreign": foreign, "dropped": dropped}), flush=True)


if __name__ == "__main__":
    main()
