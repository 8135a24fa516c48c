"""Generate the parts of the pages that are made from the code: tables, lists and the picture of the demo.

``python docs/figures.py`` generates all of them, ``--tables`` all but the picture. ``--check`` reports outdated tables
and changes nothing.
"""

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from io import StringIO
from pathlib import Path
from types import FrameType

import anyio
from rich.console import Console
from rich.text import Text

from wonder_customers import CustomerDraft, CustomerSession, Monri
from wonder_customers.dialects import names, package, simulator
from wonder_customers.dialects.base import Dialect, Operation
from wonder_customers.dialects.facts import facts_of
from wonder_customers.dialects.offline import offline_account
from wonder_customers.errors import ConfigurationError
from wonder_customers.retry import Evidence, Resolve, Retry, RetryPolicy, RetryState, decide
from wonder_customers.simulator import SimulatorServer
from wonder_customers.testing.routes import routes
from wonder_customers.wire import Replay

ROOT = Path(__file__).parent.parent
GATEWAYS = ("wonder", "paydock", "monri")
_COLUMNS = 112


def dialect(gateway: str) -> Dialect:
    """Return the dialect of `gateway` for an account at an invalid host."""
    return offline_account(gateway).dialect()


def requests(gateway: str, operation: Operation) -> tuple[str, ...]:
    """Return the requests of `operation` at `gateway` when lookups find the customer; empty if unsupported."""
    try:
        return tuple(f"{route.method} {route.template}" for route in routes(gateway, operation))
    except ConfigurationError:
        return ()


def _request_count(gateway: str, operation: Operation) -> str:
    sent = requests(gateway, operation)
    return "–" if not sent else "yes" if len(sent) == 1 else f"yes, {len(sent)} requests"


def _request_list(gateway: str, operation: Operation) -> str:
    return "<br>".join(f"`{request}`" for request in requests(gateway, operation)) or "–"


def _table(cell: Callable[[str, Operation], str]) -> str:
    head = "| operation | " + " | ".join(package(gateway).ACCOUNT.__name__ for gateway in GATEWAYS) + " |\n"
    rows = (f"| `{it}` | " + " | ".join(cell(gateway, it) for gateway in GATEWAYS) + " |\n" for it in Operation)
    return head + "|---|---|---|---|\n" + "".join(rows)


def _unsupported() -> str:
    rows = []
    for gateway in GATEWAYS:
        reasons: dict[str, list[str]] = {}
        for operation, reason in dialect(gateway).unsupported_operations.items():
            reasons.setdefault(reason, []).append(f"`{operation}`")
        rows += [
            f"- {package(gateway).ACCOUNT.__name__}, {', '.join(of)}: {reason}.\n" for reason, of in reasons.items()
        ]
    return "\n" + "".join(rows)


_KINDS = {
    Replay.READ: "read",
    Replay.IDEMPOTENT: "update, delete",
    Replay.NATURAL_UPSERT: "Wonder's create and upsert",
    Replay.LOOKUP: "create with a reference",
    Replay.NONE: "create without one",
}
_EVIDENCE = {
    Evidence.NOT_SENT: "not sent",
    Evidence.UNKNOWN: "sent, but no complete response; or a 5xx",
    Evidence.THROTTLED: "429 (too many requests)",
    Evidence.BODY_LOST: "201, but the body was lost",
    Evidence.UNREADABLE: "2xx or 3xx that cannot be read",
    Evidence.RESPONSE: "refused (other 4xx)",
}


def _decision(evidence: Evidence, replay: Replay) -> str:
    """Return a short description of the decision after a first attempt with this evidence."""
    policy = RetryPolicy()
    now = RetryState(evidence, replay, 1, policy.deadline, policy.budget, draw=0.5, findable=replay is not Replay.NONE)
    verdict = decide(policy, now)
    if isinstance(verdict, Retry):
        return "retry after waiting" if evidence is Evidence.THROTTLED else "retry"
    if not isinstance(verdict, Resolve):
        return "raise"
    if evidence in {Evidence.BODY_LOST, Evidence.UNREADABLE}:
        return "look up"
    return f"look up; if missing: {_decision(Evidence.ABSENT, replay)} once"


def _decisions() -> str:
    head = f"| what happened | {' | '.join(_KINDS.values())} |\n|---|{'---|' * len(_KINDS)}\n"
    rows = (f"| {words} | {' | '.join(_decision(it, kind) for kind in _KINDS)} |\n" for it, words in _EVIDENCE.items())
    return head + "".join(rows)


def _costs() -> str:
    kept = json.loads((ROOT / "benchmarks" / "results" / "observe.json").read_text(encoding="utf-8"))
    costs = [it for it in kept["figures"] if it["case"] == "more for a read"]
    rows = (f"| {it['contender']} | {it['value']:.0f} |\n" if it["value"] >= 1 else
            f"| {it['contender']} | {it['value']:.1f} |\n" for it in costs)  # fmt: skip
    return "| observer | µs per call |\n|---|---|\n" + "".join(rows)


def _layers(container: str = "") -> str:
    """Return the layers of the import contract of the package or of one of its folders."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    containers = [f"wonder_customers.{container}"] if container else []
    layers = next(it["layers"] for it in contracts if "layers" in it and it.get("containers", []) == containers)
    named = (re.sub(r"wonder_customers\.|[()]", "", layer).replace(" | ", " · ") for layer in layers)
    return "```text\n" + "".join(f"{layer}\n" for layer in named) + "```\n"


_PATH = {
    "session.py": "public methods; passes the operation on",
    "_core/operations.py": "checks that the session is open and the operation is supported; starts the call",
    "dialects/monri/dialect.py": "the operation as a generator of requests; reads the responses",
    "dialects/monri/codec.py": "field names and limits; converts records to bodies and back",
    "_core/executor.py": "the retry loop: attempts, waits and lookups within the deadline",
    "_core/context.py": "the state of the call: deadline, history, events",
    "_core/write_locks.py": "one write per customer at a time",
    "_core/attempt.py": "one request: sign, send, classify the result",
    "dialects/monri/signing.py": "the digest over the exact bytes",
    "dialects/responses.py": "checks the response and creates errors",
    "transports/pool.py": "takes a connection from the pool and returns it",
    "transports/asyncio.py": "opens the connection, writes to the socket and parses the response",
}
_HELPERS = {
    *("errors.py", "records.py", "secret.py", "wire.py"),  # types
    *("dialects/base.py", "dialects/capabilities.py", "dialects/codec.py", "dialects/field_rules.py"),  # shared
    *("dialects/drift.py", "dialects/json.py", "dialects/tolerant_reader.py"),  # reading of fields
    "dialects/explanations.py",  # reading of messages
    *("_core/redaction.py", "transports/messages.py"),  # pure functions on one message
}
"""Files on the path without a decision about the call. `_support` belongs to them."""


def call_files() -> list[str]:
    """Return the files of the package in which functions run during an upsert at Monri, in the order of their calls."""
    package_folder = f"{ROOT / 'wonder_customers'}{os.sep}"
    found: dict[str, None] = {}

    def record(frame: FrameType, event: str, argument: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(package_folder):
            found.setdefault(Path(frame.f_code.co_filename).relative_to(package_folder).as_posix())

    async def traced_upsert(variables: Mapping[str, str]) -> None:
        async with CustomerSession(Monri.from_environment(variables)) as session:
            await session.upsert(CustomerDraft(reference="first", name="Ada"))  # imports and opens the connection
            sys.setprofile(record)
            try:
                await session.upsert(CustomerDraft(reference="second", name="Ada"))
            finally:
                sys.setprofile(None)

    with SimulatorServer([simulator("monri")]) as server:
        anyio.run(traced_upsert, server.environment())
    return list(found)


def path_of_a_call() -> list[str]:
    """Return the files to open to follow an upsert at Monri, in the order of their calls."""
    return [it for it in call_files() if it not in _HELPERS and not it.startswith("_support/")]


def _call_path() -> str:
    return "".join(f"{number}. `{file}`: {_PATH[file]}\n" for number, file in enumerate(path_of_a_call(), 1))


def _fields(gateway: str) -> str:
    """Return the fields of a draft at a gateway, with their limits, from the dialect's own rules."""
    codec = import_module(f"{package(gateway).__name__}.codec")
    rules = [rule for rule in codec.FIELD_RULES if not rule.field.startswith("payment_source")]
    rows = (
        f"| `{rule.field}` | `{rule.wire}` | {'required, ' if rule.required else ''}{rule.limit.description} |\n"
        for rule in rules
    )
    return "| field | in JSON | limit |\n|---|---|---|\n" + "".join(rows)


def _facts(gateway: str) -> str:
    """Return the facts about a gateway, from the dialect's own list."""
    facts = facts_of(package(gateway).__name__)
    rows = (f"| {_escape(fact.statement)} | {fact.confidence} | {_escape(fact.source)} |\n" for fact in facts)
    return "| fact | confidence | source |\n|---|---|---|\n" + "".join(rows)


def _escape(text: str) -> str:
    """Return plain text as Markdown for a table cell."""
    return re.sub(r"([\[\]|*<])", r"\\\1", text)


def _vocabulary() -> str:
    """Return the gateways' names of every field of a draft."""
    names: dict[str, dict[str, str]] = {}
    for gateway in GATEWAYS:
        for rule in import_module(f"{package(gateway).__name__}.codec").FIELD_RULES:
            if not rule.field.startswith("payment_source"):
                names.setdefault(rule.field, {})[gateway] = f"`{rule.wire}`"
    rows = (
        f"| `{name}` | {' | '.join(names[name].get(gateway, '–') for gateway in GATEWAYS)} |\n"
        for name in sorted(names)
    )
    head = "| field | " + " | ".join(package(gateway).ACCOUNT.__name__ for gateway in GATEWAYS) + " |\n"
    return head + "|---|---|---|---|\n" + "".join(rows)


TABLES: dict[str, Callable[[], str]] = {
    "vocabulary": _vocabulary,
    **{f"fields of {gateway}": partial(_fields, gateway) for gateway in GATEWAYS},
    **{f"facts of {gateway}": partial(_facts, gateway) for gateway in GATEWAYS},
    "operations": lambda: _table(_request_count),
    "requests": lambda: _table(_request_list),
    "unsupported operations": _unsupported,
    "decisions": _decisions,
    "layers": _layers,
    "layers of bulk": lambda: _layers("bulk"),
    "path of a call": _call_path,
    "costs": _costs,
}


def renewed(text: str) -> str:
    """Return the text of a page with all generated tables replaced."""
    for name, made in TABLES.items():
        start = f"<!-- {name}: made by docs/figures.py -->\n"
        before, found, rest = text.partition(start)
        if found:
            text = before + start + made() + "<!-- end -->" + rest.partition("<!-- end -->")[2]
    return text


def pages() -> list[Path]:
    """Return the pages that may contain generated tables."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def demo_picture() -> str:
    """Return the output of ``wonder-customers demo`` as an SVG picture of a terminal."""
    colours = {"FORCE_COLOR": "1", "TTY_INTERACTIVE": "0", "COLUMNS": str(_COLUMNS), "TERM": "xterm-256color"}
    done = subprocess.run(
        [sys.executable, "-m", "wonder_customers", "demo"],
        env={**os.environ, **colours}, capture_output=True, text=True, encoding="utf-8", check=True,
    )  # fmt: skip
    screen = Console(record=True, width=_COLUMNS, file=StringIO())
    screen.print(Text.assemble(("$ ", "bold green"), ("wonder-customers demo", "bold")))
    screen.print(Text.from_ansi(done.stdout.rstrip()))
    picture = screen.export_svg(title="wonder-customers demo", unique_id="demo")
    # Without fonts from the network, and without a comment about rich.
    return re.sub(r"\s*(@font-face {.*?}|<!--.*?-->)", "", picture, flags=re.DOTALL)


def main(arguments: list[str]) -> int:
    """Generate everything, or check the tables."""
    assert set(GATEWAYS) <= set(names())
    stale = [page for page in pages() if renewed(page.read_text(encoding="utf-8")) != page.read_text(encoding="utf-8")]
    if "--check" in arguments:
        for page in stale:
            print(f"{page.relative_to(ROOT)}: a generated table is outdated; run python docs/figures.py --tables")
        return bool(stale)
    for page in stale:
        page.write_text(renewed(page.read_text(encoding="utf-8")), encoding="utf-8")
    if "--tables" not in arguments:
        (ROOT / "docs" / "demo.svg").write_text(demo_picture(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
