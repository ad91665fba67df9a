"""Counts of agreements and differences, and the table of them."""

from __future__ import annotations

from ..tree import Tree
from .compare import NONE, Answer, Tally
from .questions import FORMS, Question
from .rules import RULES, explain

EXAMPLES_MAX = 1


class Outcome:
    """What came of all questions."""

    def __init__(self, zones: int, questions: int) -> None:
        self.zones = zones
        self.questions = questions
        self.agreements = 0
        self.explained = {rule.name: Tally() for rule in RULES}
        self.unexplained: list[str] = []
        self.forms = {form: [0, 0] for form in FORMS}
        self.rcodes: dict[str, int] = {}
        self.authentic = 0

    def add(self, question: Question, theirs: Answer, ours: Answer) -> None:
        """Compares one pair. No answer from us is a failure whatever they say."""
        form = self.forms[question.form]
        form[0] += 1
        differences = theirs.differences(ours)
        if not differences and ours != NONE:
            form[1] += 1
            self.agreements += 1
            self.rcodes[ours.rcode] = self.rcodes.get(ours.rcode, 0) + 1
            self.authentic += ours.ad
            return
        text = f"{question} {'+'.join(sorted(differences))}: Unbound {theirs.text()}, ours {ours.text()}"
        rule = explain(question, theirs, ours) if ours != NONE else None
        if rule is None:
            self.unexplained.append(text)
            return
        tally = self.explained[rule.name]
        tally.count += 1
        if len(tally.examples) < EXAMPLES_MAX:
            tally.examples.append(text)

    def summary(self) -> str:
        """One line."""
        explained = sum(tally.count for tally in self.explained.values())
        return (
            f"{self.questions} questions, {self.zones} zones: {self.agreements} answers alike "
            f"({self.authentic} of them authentic), {explained} differ for {len(RULES)} reasons"
        )

    def table(self, tree: Tree) -> str:
        """The whole page."""
        lines = ["# todo", self.summary()]
        return "\n".join(lines) + "\n"
