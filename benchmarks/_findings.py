"""What a question brings home: figures, and what they mean for the targets."""

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from time import perf_counter

from attrs import field, frozen

ROUNDS = 5


@frozen
class Figure:
    """The median of one contender in one case.

    Attributes:
        case: What was done, such as ``get, 32 at a time``.
        contender: Who did it.
        value: The median over the rounds.
        unit: Such as ``calls/s`` or ``µs``.
        spread: The least and the greatest of the rounds.
    """

    case: str
    contender: str
    value: float
    unit: str
    spread: tuple[float, float] = (0.0, 0.0)


@frozen
class Target:
    """What was promised, and what this run brought.

    Attributes:
        promise: In words, with the number.
        value: What was measured.
        least: The promise as a lower bound.
        most: The promise as an upper bound.
    """

    promise: str
    value: float
    least: float | None = None
    most: float | None = None

    @property
    def kept(self) -> bool:
        """Whether the promise holds in this run."""
        above = self.least is None or self.value >= self.least
        return above and (self.most is None or self.value <= self.most)


@frozen
class Findings:
    """Everything one question brought.

    Attributes:
        question: In words.
        figures: Case by case.
        targets: What was promised.
        notes: What a reader must know to judge the figures.
    """

    question: str
    figures: tuple[Figure, ...]
    targets: tuple[Target, ...] = ()
    notes: tuple[str, ...] = field(default=())

    def value(self, case: str, contender: str) -> float:
        """One figure's value."""
        return next(it.value for it in self.figures if (it.case, it.contender) == (case, contender))


def summed_up(case: str, unit: str, rounds: Mapping[str, Sequence[float]]) -> list[Figure]:
    """The medians of all contenders in one case."""
    return [
        Figure(case, contender, median(values), unit, (min(values), max(values)))
        for contender, values in rounds.items()
    ]


def alternate(contenders: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Measure all contenders in turn, `rounds` times, so that a slow minute of the machine hits them all."""
    seen: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, measure in contenders.items():
            seen[name].append(measure())
    return seen


def microseconds(function: Callable[[], object], seconds: float) -> Callable[[], float]:
    """Measures `function`: repeat it for about `seconds` and give the µs of one run."""

    def measure() -> float:
        repeats, spent = 1, 0.0
        while spent < seconds:
            repeats *= 2
            began = perf_counter()
            for _ in range(repeats):
                function()
            spent = perf_counter() - began
        return spent / repeats * 1e6

    return measure
