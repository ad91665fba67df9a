"""VLANs on hosts: devices of the kernel, or where it was built without them, ends made of a tap."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import struct
import threading

from .frames import ETH_P_8021Q, Wire
from .hosts import Host
from .process import LabError

TUNSETIFF = 0x4004_54CA
IFF_TAP, IFF_NO_PI = 0x0002, 0x1000
MAC_ADDRESSES_BYTES = 12


def join(host: Host, interface: str, tag: int, addresses: tuple[str, ...]) -> Tap | None:
    """Puts `addresses` on a VLAN of an interface so that every program of the host can use them.

    Returns what must stay referenced for as long as the VLAN is used, if anything.
    """
    name = f"{interface}.{tag}"
    try:
        host.ip(
            "link", "add", "link", interface, "name", name, "type", "vlan", "id", str(tag)
        )  # fmt: skip
    except LabError as error:
        if "Unknown device type" not in str(error):
            raise
        tap = Tap(host, interface, tag, name)
    else:
        tap = None
    host.ip("link", "set", name, "up")
    host.add_address(name, *addresses)
    return tap


def has_devices(host: Host) -> bool:
    """Whether this kernel has VLAN devices."""
    try:
        host.ip("link", "add", "link", "lo", "name", "probe", "type", "vlan", "id", "9")
    except LabError:
        return False
    host.ip("link", "delete", "probe")
    return True


class Tap:
    """A VLAN device in user space: a tap whose frames cross the interface with a tag."""

    def __init__(self, host: Host, interface: str, tag: int, name: str) -> None:
        self.wire = Wire(host, interface)
        self.tag = struct.pack("!HH", ETH_P_8021Q, tag)
        with host.inside():
            self.tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
            fcntl.ioctl(self.tap, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
        # The interface's own address, as a VLAN device has it.
        host.ip("link", "set", name, "address", host.hardware_address(interface))
        threading.Thread(target=self._work, daemon=True).start()

    def _work(self) -> None:
        with contextlib.suppress(OSError):  # The interface goes when the run is cleaned.
            while True:
                ready, _, _ = select.select([self.tap, self.wire.socket], [], [])
                if self.tap in ready:
                    self._outwards(os.read(self.tap, 65535))
                if self.wire.socket in ready:
                    self._inwards(self.wire.receive())

    def _outwards(self, frame: bytes) -> None:
        self.wire.send(frame[:MAC_ADDRESSES_BYTES] + self.tag + frame[MAC_ADDRESSES_BYTES:])

    def _inwards(self, frame: bytes) -> None:
        end = MAC_ADDRESSES_BYTES + len(self.tag)
        if frame[MAC_ADDRESSES_BYTES:end] == self.tag:
            os.write(self.tap, frame[:MAC_ADDRESSES_BYTES] + frame[end:])
