"""The command that continues the run of a journal, for messages."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import Any, Final

__all__ = ["GIVEN_AGAIN", "as_argument", "continuation", "given_again", "journal_command"]

GIVEN_AGAIN: Final = ("query", "database", "on", "shared_limit", "removed")
"""The settings of a run that a journal stores as digests, so that their options have to be given again."""


def as_argument(path: str | Path) -> str:
    """Return a path as an argument of a shell command."""
    text = str(path)
    return quote(f"./{text}" if text.startswith("-") else text)  # not an option


def given_again(facts: Mapping[str, Any]) -> list[str]:
    """Return the options that have to be given again to continue a run."""
    return [f"--{name.replace('_', '-')}" for name in GIVEN_AGAIN if facts.get(name) is not None]


def continuation(journal: str, facts: Mapping[str, Any], *, gateway: str = "", options: str = "") -> str | None:
    """Return how a run can be continued; None if the journal is temporary."""
    if "temporary" in facts:
        return None
    if not facts:
        return " and ".join(filter(None, ["the same program with the same journal", options]))
    if "migrate" in facts:
        ends = f"--from {quote(str(facts['migrate']))} --to {quote(gateway)}"
        losses = " --accept-losses" if facts.get("accept_losses") else ""
        return f"wonder-customers migrate {ends} --journal {as_argument(journal)}{losses}"
    same = [option for option in given_again(facts) if option not in options]
    return journal_command("resume", journal, same, options)


def journal_command(name: str, journal: str | Path, same: Sequence[str], options: str = "") -> str:
    """Return a command for a journal, and the options whose values have to be given again."""
    command = " ".join(filter(None, [f"wonder-customers {name}", as_argument(journal), options]))
    return f"{command} (with the same {' and '.join(same)})" if same else command
