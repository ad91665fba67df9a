"""Ethernet frames made byte by byte, good and bad, and a socket that sends and sees raw frames."""

from __future__ import annotations

import ctypes
import errno
import ipaddress
import os
import select
import socket
import struct
import time
from dataclasses import dataclass, replace

from .hosts import Host
from .process import LabError

ETH_P_ALL = 0x0003
ETH_P_IP, ETH_P_IPV6, ETH_P_8021Q, ETH_P_8021AD = 0x0800, 0x86DD, 0x8100, 0x88A8
SO_RCVBUFFORCE = 33
SOL_PACKET, PACKET_STATISTICS, PACKET_AUXDATA, PACKET_IGNORE_OUTGOING = 263, 6, 8, 23
TP_STATUS_VLAN_VALID = 1 << 4
AUXDATA = struct.Struct("IIIHHHH")  # struct tpacket_auxdata


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


@dataclass(frozen=True)
class Flow:
    """Who sends to whom."""

    source_mac: str
    target_mac: str
    source: str
    target: str
    source_port: int = 40000
    target_port: int = 53

    def frame(
        self,
        payload: bytes,
        *,
        tags: tuple[tuple[int, int], ...] = (),
        ip_options: bytes = b"",
        fragment: int = 0,
        extension: bool = False,
        udp_length: int | None = None,
        ip_length: int | None = None,
        udp_checksum: int | None = None,
        ttl: int = 64,
        pad_to: int = 0,
    ) -> bytes:
        """One frame; the keywords make it a special or a wrong one.

        `tags` are (ethertype, VLAN id), `fragment` is the flags-and-offset field of IPv4,
        `extension` puts a destination-options header into IPv6.
        """
        source, target = ipaddress.ip_address(self.source), ipaddress.ip_address(self.target)
        length = 8 + len(payload)
        udp = struct.pack(
            "!HHHH", self.source_port, self.target_port, length if udp_length is None else udp_length, 0
        )
        pseudo = source.packed + target.packed + struct.pack("!II", length, 17)
        if udp_checksum is None:
            udp_checksum = checksum(pseudo + udp + payload) or 0xFFFF
        datagram = udp[:6] + struct.pack("!H", udp_checksum) + payload
        if source.version == 4:
            packet = _ipv4(source, target, datagram, ip_options, fragment, ip_length, ttl)
        else:
            packet = _ipv6(source, target, datagram, extension, ip_length, ttl)
        ethertype = ETH_P_IP if source.version == 4 else ETH_P_IPV6
        types = [kind for kind, _ in tags] + [ethertype]
        head = _mac(self.target_mac) + _mac(self.source_mac) + struct.pack("!H", types[0])
        for (_, vlan), following in zip(tags, types[1:]):
            head += struct.pack("!HH", vlan, following)
        return (head + packet).ljust(pad_to, b"\0")

    def reply(self) -> Flow:
        """The way back."""
        return replace(
            self,
            source_mac=self.target_mac,
            target_mac=self.source_mac,
            source=self.target,
            target=self.source,
            source_port=self.target_port,
            target_port=self.source_port,
        )


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def _ipv4(source, target, datagram, options, fragment, length, ttl) -> bytes:
    words = 5 + len(options) // 4
    head = struct.pack(
        "!BBHHHBBH4s4s",
        0x40 | words, 0, words * 4 + len(datagram) if length is None else length,
        1, fragment, ttl, 17, 0, source.packed, target.packed,
    ) + options  # fmt: skip
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + datagram


def _ipv6(source, target, datagram, extension, length, hops) -> bytes:
    following, body = 17, datagram
    if extension:  # Destination options with padding only (RFC 8200 §4.6).
        following, body = 60, bytes([17, 0, 1, 4, 0, 0, 0, 0]) + datagram
    length = len(body) if length is None else length
    return struct.pack("!IHBB", 6 << 28, length, following, hops) + source.packed + target.packed + body


class _Vector(ctypes.Structure):
    """struct iovec"""

    _fields_ = (("base", ctypes.c_char_p), ("length", ctypes.c_size_t))


class _Header(ctypes.Structure):
    """struct msghdr"""

    _fields_ = (
        ("name", ctypes.c_void_p), ("name_length", ctypes.c_uint32),
        ("vectors", ctypes.POINTER(_Vector)), ("vectors_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p), ("control_length", ctypes.c_size_t), ("flags", ctypes.c_int),
    )  # fmt: skip


class _Message(ctypes.Structure):
    """struct mmsghdr"""

    _fields_ = (("header", _Header), ("sent_bytes", ctypes.c_uint32))


_libc = ctypes.CDLL(None, use_errno=True)
SENDMMSG_MAX = 1024  # UIO_MAXIOV


class Wire:
    """A packet socket on one interface of a host; it sees what comes in alone."""

    RECEIVE_BUFFER_BYTES = 64 << 20

    def __init__(self, host: Host, interface: str) -> None:
        with host.inside():
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
            self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, self.RECEIVE_BUFFER_BYTES)
            self.socket.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
            self.socket.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
            self.socket.bind((interface, ETH_P_ALL))

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, frame: bytes) -> None:
        """Sends a frame as it is."""
        self.socket.send(frame)

    def replay(self, frames: list[bytes]) -> float:
        """Sends all frames as fast as the kernel takes them (sendmmsg); returns frames a second."""
        vectors = (_Vector * len(frames))(*((frame, len(frame)) for frame in frames))
        messages = (_Message * len(frames))()
        for message, vector in zip(messages, vectors):
            message.header.vectors, message.header.vectors_count = ctypes.pointer(vector), 1
        done, started = 0, time.monotonic()
        while done < len(frames):
            first = ctypes.byref(messages, done * ctypes.sizeof(_Message))
            sent = _libc.sendmmsg(self.socket.fileno(), first, min(SENDMMSG_MAX, len(frames) - done), 0)
            if sent < 0 and ctypes.get_errno() != errno.ENOBUFS:
                raise OSError(ctypes.get_errno(), f"sendmmsg: {os.strerror(ctypes.get_errno())}")
            done += max(sent, 1)  # No room at the other end: that frame is lost, as on any wire.
        return len(frames) / (time.monotonic() - started)

    def receive(self) -> bytes:
        """The next frame as it was on the wire."""
        frame, ancillary, _, _ = self.socket.recvmsg(65535, 64)
        # The kernel takes the outer tag off before it shows the frame.
        for level, kind, data in ancillary:
            if (level, kind) == (SOL_PACKET, PACKET_AUXDATA):
                status, _, _, _, _, tag, ethertype = AUXDATA.unpack(data)
                if status & TP_STATUS_VLAN_VALID:
                    frame = frame[:12] + struct.pack("!HH", ethertype, tag) + frame[12:]
        return frame

    def received(self, quiet_s: float = 0.2) -> list[bytes]:
        """Frames that came in, until none came for `quiet_s`; LabError if some were missed."""
        frames = []
        while select.select([self.socket], [], [], quiet_s)[0]:
            frames.append(self.receive())
        _, missed = struct.unpack("II", self.socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
        if missed:
            raise LabError(f"{missed} frames came that were not seen: the receive buffer was full")
        return frames


@dataclass(frozen=True)
class Datagram:
    """A UDP datagram out of a frame."""

    source: str
    target: str
    source_port: int
    target_port: int
    payload: bytes
    checksum_good: bool


def datagram(frame: bytes) -> Datagram | None:
    """The UDP datagram of an untagged or tagged frame, or None if there is none."""
    offset = 14
    while (ethertype := int.from_bytes(frame[offset - 2 : offset], "big")) in (ETH_P_8021Q, ETH_P_8021AD):
        offset += 4
    packet = frame[offset:]
    if ethertype == ETH_P_IP and len(packet) >= 28 and packet[9] == 17:
        start, (total,) = (packet[0] & 15) * 4, struct.unpack_from("!H", packet, 2)
        source, target = packet[12:16], packet[16:20]
        good = checksum(packet[:start]) == 0
    elif ethertype == ETH_P_IPV6 and len(packet) >= 48 and packet[6] == 17:
        start, total = 40, 40 + struct.unpack_from("!H", packet, 4)[0]
        source, target = packet[8:24], packet[24:40]
        good = True
    else:
        return None
    udp = packet[start:total]
    if len(udp) < 8:
        return None
    source_port, target_port, length, total_sum = struct.unpack_from("!4H", udp)
    if total_sum or ethertype == ETH_P_IPV6:  # Zero means none, which IPv6 forbids (RFC 8200 §8.1).
        pseudo = source + target + struct.pack("!II", len(udp), 17)
        good = good and total_sum != 0 and checksum(pseudo + udp) == 0
    good = good and length == len(udp)
    text = [str(ipaddress.ip_address(address)) for address in (source, target)]
    return Datagram(*text, source_port, target_port, udp[8:length], good)
