"""Counts of agreements and differences, and the table of them."""

from __future__ import annotations

from ..run import command
from ..tree import Tree
from .compare import NONE, Answer
from .questions import FORMS, Question
from .rules import RULES, explain


class Outcome:
    """What came of all questions."""

    def __init__(self, zones: int, questions: int) -> None:
        self.zones = zones
        self.questions = questions
        self.agreements = 0
        self.explained = {rule.name: 0 for rule in RULES}
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
        self.explained[rule.name] += 1

    def summary(self) -> str:
        """One line."""
        explained = sum(self.explained.values())
        return (
            f"{self.questions} questions, {self.zones} zones: {self.agreements} answers alike "
            f"({self.authentic} of them authentic), {explained} differ for {len(RULES)} reasons"
        )

    def table(self, tree: Tree) -> str:
        """The whole page, in Markdown."""
        lines = [
            "# Compared with Unbound",
            "",
            f"`scripts/lab test differential` asks {unbound_version()} and the appliance the same questions, against the",
            "same authorities ([lab](lab.md)), and fails on any difference for which no rule below gives a reason, and on",
            "a rule that nothing needs. Both validate from the lab's root, minimise QNAMEs and serve nothing stale; all else is at",
            "its default. Compared are RCODE, AD and the other flags, all records of the answer but for order and TTLs,",
            "signatures included, and the types in the authority section. Each name is asked for with DO, without,",
            "with AD alone, and with DO and CD, in an order by chance, some in mixed case. The rules are in",
            "`tests/lab/differential/rules.py`, the zones in `catalogue.py`. This page is one run, written by it with",
            "`NEXUS_WRITE_DIFFERENTIAL=1`; some counts depend on which question came first.",
            "",
            "| | |",
            "|---|---|",
            f"| zones | {self.zones} |",
            f"| questions | {self.questions} |",
            f"| answers alike | {self.agreements} |",
            *(f"| … {rcode} | {count} |" for rcode, count in sorted(self.rcodes.items())),
            f"| … authentic | {self.authentic} |",
            f"| different for a reason | {sum(self.explained.values())} |",
            f"| different without | {len(self.unexplained)} |",
            "",
            "| form of question | questions | alike |",
            "|---|---|---|",
            *(f"| {FORM_TEXTS[form]} | {asked} | {alike} |" for form, (asked, alike) in self.forms.items()),
            "",
            "## Differences",
            "",
            "| what | count | why | RFC |",
            "|---|---|---|---|",
            *(f"| {rule.name} | {self.explained[rule.name]} | {rule.reason} | {rule.rfc} |" for rule in RULES),
            "",
            "## Zones",
            "",
            "| zone | what it is |",
            "|---|---|",
            *(f"| `{zone.name}` | {zone.about or 'signed, NSEC'} |" for zone in tree.zones.values()),
        ]
        return "\n".join(lines) + "\n"


FORM_TEXTS = {"do": "DO", "plain": "neither DO nor AD", "ad": "AD", "cd": "DO and CD"}


def unbound_version() -> str:
    """`Unbound 1.2.3`."""
    first = command("unbound", "-V").splitlines()[0]
    return f"Unbound {first.removeprefix('Version ')}"
