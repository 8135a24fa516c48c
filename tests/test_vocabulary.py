"""One standard term per concept: replaced names and ornate phrases appear nowhere in the project's text."""

import io
import re
import tokenize
from itertools import chain
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

PHRASES = """
    nobody | somebody | whoever | told | is no | are no | has no home | may land | may still land | a look |
    looks for | by half | in doubt | doubt | doubts | doubtful | reply | replies | lane | lanes | verb | verbs |
    in their stead | by heart | asked to wait | known are | gateway says | not at fault | was about to | takes note
    | costs only | as it came
"""
"""Compared without regard to case, at word boundaries."""

NAMES = """
    Alarm Ambiguous Away Bell Briefing CallFailed Carried DeadlineExceeded Duplicate Ending Exchange Fleet Flight
    Forbidden InvalidRecord InvalidReply Lane Lanes Line MissingExtra NoAnswer NotFound NotSent OutcomeUnknown
    Outgoing PacedTransport Place RateLimited Refused Rejected Reply SessionClosed Sieve Speaker SyncFailed Tally
    TimeIsUp Trier Tries Trip Turns Unauthorized Unavailable Unsupported WireFailure WireReply WireRequest _border
    _exchange _lanes _scrub _speaker _telephone _trip _turns _verbs _waiting adopted conflicts gone_is_done lacks
    told unlike
"""
"""Identifiers of Python code that standard terms have replaced."""

FOLDERS = ("wonder_customers", "tests", "benchmarks", "docs", "README.md")

PHRASE = re.compile(rf"(?<!\w)({'|'.join(re.escape(it.strip()) for it in PHRASES.split('|'))})(?!\w)", re.IGNORECASE)
NAME = frozenset(NAMES.split())

# Documents of the gateways and their examples are quoted word for word.
QUOTED = ("golden", "documents", "__pycache__")


def texts(path: Path) -> list[Path]:
    """Return the project's own text files at or below `path`."""
    found = [path] if path.is_file() else sorted(it for it in path.rglob("*") if it.is_file())
    kinds = {".py", ".md", ".toml", ".html", ".css", ".js", ".svg", ".yml"}
    return [it for it in found if it.suffix in kinds and not set(QUOTED) & set(it.parts) and it != Path(__file__)]


def identifiers(text: str) -> list[tuple[int, str]]:
    """Return the replaced names among the identifiers of Python source, with their line numbers."""
    if not NAME & set(re.findall(r"\w+", text)):
        return []  # most files, without the slow tokenizer
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return [(it.start[0], it.string) for it in tokens if it.type == tokenize.NAME and it.string in NAME]


def test_replaced_names_and_ornate_phrases_do_not_appear() -> None:
    findings = []
    for path in chain.from_iterable(texts(ROOT / folder) for folder in FOLDERS):
        text = path.read_text(encoding="utf-8")
        where = path.relative_to(ROOT)
        for number, line in enumerate(text.splitlines(), 1):
            findings += [f"{where}:{number}: {it.group(0)!r} in {line.strip()[:100]}" for it in PHRASE.finditer(line)]
        if path.suffix == ".py":
            findings += [f"{where}:{number}: the name {name}" for number, name in identifiers(text)]
    assert not findings, "\n".join(findings)
