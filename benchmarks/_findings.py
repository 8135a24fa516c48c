"""The results of a benchmark: figures, and the targets they are compared with."""

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from time import perf_counter

from attrs import field, frozen

ROUNDS = 5


@frozen
class Figure:
    """The median of one contender in one case.

    Attributes:
        case: The measured case, such as ``get, 32 at a time``.
        contender: The measured library.
        value: The median over the rounds.
        unit: Such as ``calls/s`` or ``µs``.
        spread: The smallest and the largest value of the rounds.
    """

    case: str
    contender: str
    value: float
    unit: str
    spread: tuple[float, float] = (0.0, 0.0)


@frozen
class Target:
    """A target, and the value that this run measured.

    Attributes:
        description: The description of the target, including its value.
        value: The measured value.
        least: The lower bound.
        most: The upper bound.
    """

    description: str
    value: float
    least: float | None = None
    most: float | None = None

    @property
    def reached(self) -> bool:
        """Whether this run reached the target."""
        above = self.least is None or self.value >= self.least
        return above and (self.most is None or self.value <= self.most)


@frozen
class Findings:
    """The results of one benchmark.

    Attributes:
        question: The question that the benchmark answers.
        figures: The medians, by case.
        targets: The targets.
        notes: Conditions of the measurement.
    """

    question: str
    figures: tuple[Figure, ...]
    targets: tuple[Target, ...] = ()
    notes: tuple[str, ...] = field(default=())

    def value(self, case: str, contender: str) -> float:
        """Return the value of one figure."""
        return next(it.value for it in self.figures if (it.case, it.contender) == (case, contender))


def summed_up(case: str, unit: str, rounds: Mapping[str, Sequence[float]]) -> list[Figure]:
    """Return the medians of all contenders in one case."""
    return [
        Figure(case, contender, median(values), unit, (min(values), max(values)))
        for contender, values in rounds.items()
    ]


def alternate(contenders: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Measure all contenders in turn, `rounds` times, so that variations of the machine affect all of them."""
    seen: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, measure in contenders.items():
            seen[name].append(measure())
    return seen


def microseconds(function: Callable[[], object], seconds: float) -> Callable[[], float]:
    """Return a function that runs `function` for about `seconds` and returns the µs of one run."""

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
