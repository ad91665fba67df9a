"""Differences that are meant, each with the RFC that allows or asks for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable

from .compare import Answer
from .questions import Question


@dataclass(frozen=True)
class Rule:
    """One kind of difference. It must occur, or it is not true any more."""

    name: str
    reason: str
    rfc: str
    # Question, Unbound's answer, ours.
    applies: Callable[[Question, Answer, Answer], bool]


RULES: tuple[Rule, ...] = ()


def explain(question: Question, theirs: Answer, ours: Answer) -> Rule | None:
    """The first rule that covers a difference."""
    return next((rule for rule in RULES if rule.applies(question, theirs, ours)), None)
