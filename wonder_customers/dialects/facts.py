"""Facts about gateways as data: the assumptions of the library, their certainty and their sources."""

import tomllib
from enum import StrEnum
from importlib.resources import files

from attrs import frozen

__all__ = ["Confidence", "Fact", "facts_of"]


class Confidence(StrEnum):
    """The certainty of a fact."""

    DOCUMENTED = "documented"
    """The gateway's own documentation states the fact."""
    SEEN = "seen"
    """A client library, its tests against the sandbox, or a recorded response shows the fact."""
    INFERRED = "inferred"
    """The fact follows from another fact."""
    UNKNOWN = "unknown"
    """No source states the fact."""


@frozen
class Fact:
    """One fact about a gateway.

    Attributes:
        name: A short, unique name, such as ``duplicate-status``.
        statement: The assumption of the library, or an open question.
        confidence: The certainty of the fact.
        source: The documents or the code from which the fact comes.
        check: The requests that check the fact; empty if there are none.
    """

    name: str
    statement: str
    confidence: Confidence
    source: str
    check: str = ""


def facts_of(package: str) -> tuple[Fact, ...]:
    """Return the facts of the dialect in `package`, in the order of its file ``facts.toml``."""
    tables = tomllib.loads((files(package) / "facts.toml").read_text(encoding="utf-8"))
    return tuple(Fact(name, **{**it, "confidence": Confidence(it["confidence"])}) for name, it in tables.items())
