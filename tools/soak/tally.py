"""Counts of trials and faults, with examples of the faults."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

FAULTS = ("lost", "wrong", "unclear")
_EXAMPLES = 5


@dataclass
class Tally:
    """Counts of trials by kind, of faults by kind and fault, and the first examples of each fault."""

    tried: Counter[str] = field(default_factory=Counter)
    faults: Counter[tuple[str, str]] = field(default_factory=Counter)
    examples: dict[tuple[str, str], list[str]] = field(default_factory=dict)

    def count(self, kind: str, fault: str | None = None, example: str = "") -> None:
        """Count a trial; with a ``fault``, count a fault of a trial that is counted already."""
        if fault is None:
            self.tried[kind] += 1
            return
        self.faults[kind, fault] += 1
        known = self.examples.setdefault((kind, fault), [])
        if len(known) < _EXAMPLES:
            known.append(example)

    def add(self, other: Tally) -> None:
        """Add the counts of another process."""
        self.tried += other.tried
        self.faults += other.faults
        for key, examples in other.examples.items():
            known = self.examples.setdefault(key, [])
            known += examples[: _EXAMPLES - len(known)]

    @property
    def sound(self) -> bool:
        """Whether nothing was lost, wrong or unclear."""
        return not self.faults.total()

    def in_a_line(self) -> str:
        """Return all counts in one line.

        >>> tally = Tally()
        >>> tally.count("kills: alone")
        >>> tally.in_a_line()
        '1 kills; 0 lost, 0 wrong, 0 unclear'
        """
        sums = Counter()
        for kind, count in self.tried.items():
            sums[kind.partition(":")[0]] += count
        faults = [f"{self._faults(fault)} {fault}" for fault in FAULTS]
        return f"{', '.join(f'{count} {kind}' for kind, count in sums.items())}; {', '.join(faults)}"

    def table(self) -> str:
        """Return a table with the counts of every kind, and the examples of faults."""
        width = max([len(kind) for kind in self.tried] + [len("total")])
        lines = [f"{'':{width}}  {'tried':>7}" + "".join(f"{fault:>9}" for fault in FAULTS)]
        for kind in sorted(self.tried):
            counts = "".join(f"{self.faults[kind, fault]:>9}" for fault in FAULTS)
            lines.append(f"{kind:{width}}  {self.tried[kind]:>7}{counts}")
        totals = "".join(f"{self._faults(fault):>9}" for fault in FAULTS)
        lines.append(f"{'total':{width}}  {self.tried.total():>7}{totals}")
        for (kind, fault), examples in sorted(self.examples.items()):
            lines += ["", f"{kind}, {fault}:", *(f"  {example}" for example in examples)]
        return "\n".join(lines)

    def _faults(self, fault: str) -> int:
        return sum(count for (_, found), count in self.faults.items() if found == fault)
