"""A tunnel as VPNs have it, which leads nowhere: makes it, prints its name, and drops what is sent into it, until it is ended."""

import fcntl
import json
import os
import struct
import time

TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000

end = os.open("/dev/net/tun", os.O_RDWR)
name = fcntl.ioctl(end, TUNSETIFF, struct.pack("16sH22s", b"tun0", IFF_TUN | IFF_NO_PI, b""))[:16]
print(json.dumps({"tunnel": name.rstrip(b"\0").decode()}), flush=True)
while True:
    try:
        os.read(end, 65536)
    except OSError:
        # It is not up yet.
        time.sleep(0.05)
