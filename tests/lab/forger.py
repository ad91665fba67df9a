"""A server that answers every question for an address with a forged one."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from typing import Callable

from . import hostile
from .hosts import End, Host
from .world import INTERFACE, World

ADDRESS = "10.53.3.1"
PORT = 53
TYPE_A = 1


class Forger:
    """On a host of its own at the switch. Answers while its context is open, with the address `forged` or,
    if that is a function, with what it makes of the address of whoever asks."""

    address = ADDRESS

    def __init__(self, world: World, forged: str | Callable[[str], str]) -> None:
        self.host = Host(world.run, "forger")
        world.switch.plug(End(self.host, INTERFACE, "02:00:00:00:03:01", (f"{ADDRESS}/16",)))
        self.forged = forged
        with self.host.inside():
            self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((ADDRESS, PORT))
        self.thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Forger:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.thread.join(2)

    def _work(self) -> None:
        self.socket.settimeout(0.2)
        while True:
            try:
                query, sender = self.socket.recvfrom(4096)
            except TimeoutError:
                continue
            except OSError:
                return
            with contextlib.suppress(OSError, IndexError, struct.error):
                self.socket.sendto(self._reply(query, sender[0]), sender)

    def _reply(self, query: bytes, sender: str) -> bytes:
        end = hostile.question_end(query)
        (qtype,) = struct.unpack("!H", query[end - 4 : end - 2])
        if qtype != TYPE_A:
            return hostile.reply(query)
        address = self.forged if isinstance(self.forged, str) else self.forged(sender)
        answer = hostile.record(hostile.QNAME, TYPE_A, socket.inet_aton(address))
        return hostile.reply(query, answer=answer, counts=(1, 0, 0))
