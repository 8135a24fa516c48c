"""The command that continues the run of a journal, for messages."""

from collections.abc import Mapping
from pathlib import Path
from shlex import quote
from typing import Any, Final

__all__ = ["GIVEN_AGAIN", "as_argument", "continuation"]

GIVEN_AGAIN: Final = ("query", "database", "on", "shared_limit", "removed")
"""The settings of a run that a journal stores as digests, so that their options have to be given again."""


def as_argument(path: str | Path) -> str:
    """Return a path as an argument of a shell command."""
    text = str(path)
    return quote(f"./{text}" if text.startswith("-") else text)  # not an option


def continuation(
    journal: str, facts: Mapping[str, Any], *, gateway: str = "", options: str = "", command: str = "resume"
) -> str | None:
    """Return how a run can be continued, or its failed rows sent again; None if the journal is temporary."""
    if "temporary" in facts:
        return None
    if not facts:
        return " and ".join(filter(None, ["the same program with the same journal", options]))
    if "migrate" in facts:
        ends = f"--from {quote(str(facts['migrate']))} --to {quote(gateway)}"
        losses = " --accept-losses" if facts.get("accept_losses") else ""
        return f"wonder-customers migrate {ends} --journal {as_argument(journal)}{losses}"
    given = [f"--{name.replace('_', '-')}" for name in GIVEN_AGAIN if facts.get(name) is not None]
    # `retry-failed` removes no customers.
    same = [option for option in given if option not in options and (option, command) != ("--removed", "retry-failed")]
    text = " ".join(filter(None, [f"wonder-customers {command}", as_argument(journal), options]))
    return f"{text} (with the same {' and '.join(same)})" if same else text
