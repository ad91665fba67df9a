"""Ethernet frames made byte by byte, good and bad, and a socket that sends and sees raw frames."""

from __future__ import annotations

import ipaddress
import select
import socket
import struct
from dataclasses import dataclass, replace

from .hosts import Host

ETH_P_ALL = 0x0003
ETH_P_IP, ETH_P_IPV6, ETH_P_8021Q, ETH_P_8021AD = 0x0800, 0x86DD, 0x8100, 0x88A8
SO_RCVBUFFORCE = 33
SOL_PACKET, PACKET_AUXDATA, TP_STATUS_VLAN_VALID = 263, 8, 1 << 4
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


class Wire:
    """A packet socket on one interface of a host."""

    def __init__(self, host: Host, interface: str) -> None:
        with host.inside():
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
            self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)
            self.socket.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
            self.socket.bind((interface, ETH_P_ALL))

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, frame: bytes) -> None:
        """Sends a frame as it is."""
        self.socket.send(frame)

    def receive(self) -> bytes | None:
        """The next frame as it was on the wire; None for one that this host sent."""
        frame, ancillary, _, address = self.socket.recvmsg(65535, 64)
        if address[2] == socket.PACKET_OUTGOING:
            return None
        # The kernel takes the outer tag off before it shows the frame.
        for level, kind, data in ancillary:
            if (level, kind) == (SOL_PACKET, PACKET_AUXDATA):
                status, _, _, _, _, tag, ethertype = AUXDATA.unpack(data)
                if status & TP_STATUS_VLAN_VALID:
                    frame = frame[:12] + struct.pack("!HH", ethertype, tag) + frame[12:]
        return frame

    def received(self, quiet_s: float = 0.2) -> list[bytes]:
        """Frames that came in, until none came for `quiet_s`."""
        frames = []
        while select.select([self.socket], [], [], quiet_s)[0]:
            frame = self.receive()
            if frame is not None:
                frames.append(frame)
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
    offset = 12
    (ethertype,) = struct.unpack_from("!H", frame, offset)
    while ethertype in (ETH_P_8021Q, ETH_P_8021AD):
        offset += 4
        (ethertype,) = struct.unpack_from("!H", frame, offset)
    offset += 2
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
    source_port, target_port, length, total_sum = struct.unpack_from("!4H", udp)
    if total_sum or ethertype == ETH_P_IPV6:  # Zero means none, which IPv6 forbids (RFC 8200 §8.1).
        pseudo = source + target + struct.pack("!II", len(udp), 17)
        good = good and total_sum != 0 and checksum(pseudo + udp) == 0
    good = good and length == len(udp)
    text = [str(ipaddress.ip_address(address)) for address in (source, target)]
    return Datagram(*text, source_port, target_port, udp[8:], good)
