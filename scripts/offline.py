"""Run a command with no network but loopback: `python -m scripts.offline make test`.

As root on Linux the command gets a network namespace of its own, which no library and no child process can leave.
Elsewhere it runs as it is, and the guard of the tests (`--allow-hosts`) is what is left; either is said.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
import sys

_CLONE_NEWNET = 0x40000000
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 0x1


def main(command: list[str]) -> None:
    """Replace this process by the command. Raises SystemExit without one."""
    if not command:
        sys.exit("usage: python -m scripts.offline COMMAND [ARGUMENT …]")
    reason = _leave_the_network()
    print(f"network: loopback only{f' by the guard of the tests ({reason})' if reason else ''}", flush=True)
    os.execvp(command[0], command)  # noqa: S606 - the caller's own command, without a shell


def _leave_the_network() -> str:
    """Enter an empty network namespace and start its loopback; return why that is not possible, or nothing."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "a network namespace needs root on Linux"
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNET) != 0:
        return os.strerror(ctypes.get_errno())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        answer = fcntl.ioctl(any_socket, _SIOCGIFFLAGS, struct.pack("16sh14x", b"lo", 0))
        flags = struct.unpack("16sh14x", answer)[1]
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | _IFF_UP))
    return ""


if __name__ == "__main__":
    main(sys.argv[1:])
