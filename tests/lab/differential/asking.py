"""Asks one server many questions at once over UDP, and over TCP what did not fit."""

from __future__ import annotations

import select
import socket
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Sequence

from .. import dns
from ..hosts import Host
from .questions import Question

IN_FLIGHT = 64
# Longer than a resolver works on one question: only a datagram that was lost is sent again.
WAIT_S = 8.0
TRIES = 3
RECEIVE_BYTES = 1 << 20


class Asker:
    """One client of one server."""

    def __init__(self, host: Host, server: str) -> None:
        self.host = host
        self.server = server
        with host.inside():
            self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
        self.socket.connect((server, 53))
        self.repeated = 0  # Questions that were not answered in time, and asked again.

    def ask_all(self, questions: Sequence[Question]) -> list[bytes | None]:
        """The answers in the order of the questions; None where there was none."""
        answers: list[bytes | None] = [None] * len(questions)
        with self.socket:
            self._ask_all(questions, answers)
        self._fetch_truncated(questions, answers)
        return answers

    def _ask_all(self, questions: Sequence[Question], answers: list[bytes | None]) -> None:
        waiting: dict[int, tuple[float, int]] = {}  # Index: when sent, how often.
        following = 0
        while following < len(questions) or waiting:
            while following < len(questions) and len(waiting) < IN_FLIGHT:
                self._send(questions[following], following)
                waiting[following] = (time.monotonic(), 1)
                following += 1
            if select.select([self.socket], [], [], 0.2)[0]:
                self._receive(questions, answers, waiting)
            self._repeat(questions, waiting)

    def _send(self, question: Question, index: int) -> None:
        dns.with_refusals_ignored(lambda: self.socket.send(question.message(index & 0xFFFF)))

    def _receive(self, questions: Sequence[Question], answers: list[bytes | None], waiting: dict) -> None:
        raw = dns.with_refusals_ignored(lambda: self.socket.recv(65535))
        if not raw or len(raw) < 12:
            return
        (ident,) = struct.unpack_from("!H", raw)
        index = next((i for i in waiting if i & 0xFFFF == ident), None)
        if index is not None:
            del waiting[index]
            answers[index] = raw

    def _repeat(self, questions: Sequence[Question], waiting: dict) -> None:
        now = time.monotonic()
        for index, (sent, tries) in list(waiting.items()):
            if now - sent < WAIT_S:
                continue
            if tries == TRIES:
                del waiting[index]
                continue
            self.repeated += 1
            self._send(questions[index], index)
            waiting[index] = (now, tries + 1)

    def _fetch_truncated(self, questions: Sequence[Question], answers: list[bytes | None]) -> None:
        cut = [index for index, raw in enumerate(answers) if raw and raw[2] & 2]

        def fetch(index: int) -> bytes:
            message = questions[index].message(index & 0xFFFF)
            (raw,) = dns.ask_tcp(self.host, self.server, [message], WAIT_S)
            return raw

        with ThreadPoolExecutor(8) as pool:
            for index, raw in zip(cut, pool.map(fetch, cut)):
                answers[index] = raw
