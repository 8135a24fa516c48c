"""Facts about gateways as data: what the library relies on, how certain it is, and where it comes from.

No one in this project has had an account at these gateways, so every fact comes from documents and public code. The
tables on the gateways' pages are generated from these facts.
"""

from enum import StrEnum

from attrs import frozen

__all__ = ["Confidence", "Fact"]


class Confidence(StrEnum):
    """How certain a fact is."""

    DOCUMENTED = "documented"
    """The gateway's own documents state it."""
    SEEN = "seen"
    """A client library, its tests against the sandbox, or a recorded response show it."""
    INFERRED = "inferred"
    """It follows from another fact; the source gives the reason."""
    UNKNOWN = "unknown"
    """No source was found. The statement names the choice made here."""


@frozen
class Fact:
    """One fact about a gateway.

    Attributes:
        name: A short name, unique for the gateway, such as ``duplicate-status``.
        statement: What the library relies on.
        confidence: How certain it is.
        source: Where it comes from.
        check: How it can be checked against an account; empty where no request shows it.
    """

    name: str
    statement: str
    confidence: Confidence
    source: str
    check: str = ""
