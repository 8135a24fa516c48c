"""Bulk jobs that could write down a canary, as a person types them."""

import orjson
from trust.canary_values import (
    CARD,
    CITY,
    CVV,
    EMAIL,
    MEMBER,
    NAME,
    PERSONAL,
)
from trust.scenario_context import ScenarioContext, command

HEADER = "reference,name,email,phone,metadata.member"
ROW = f"{{}},{NAME},{EMAIL},+44 7911 987654,{MEMBER}"


def sync_commands(stage: ScenarioContext) -> None:
    """Every command for many customers, over rows that arrive, rows that are refused and rows that cannot be read."""
    rows = [ROW.format(f"c-{number}") for number in range(4)]
    rows += [f'bad-1,{NAME},{EMAIL},"{NAME}"', f"c-1,{NAME},{EMAIL}", f'c-9,"{NAME}', f"c-8,{NAME},x,,{EMAIL},{CITY}"]
    (stage.folder / "c.csv").write_text("\n".join([HEADER, *rows]) + "\n", encoding="utf-8")
    outputs = ("--report", "r.json", "--html", "r.html")
    for gateway in ("paydock", "monri"):
        stage.simulator.faults.add("server_error", gateway=gateway, method="POST", status=400, times=1)
        command(stage, "plan", "c.csv", "--to", gateway)
        assert command(stage, "sync", "c.csv", "--to", gateway, *outputs) == 2
        stage.simulator.faults.clear()
        journal = f"c.csv.{gateway}.journal"
        for words in (["retry-failed", *outputs], ["resume"], ["status"], ["status", "--json"], ["verify"]):
            command(stage, words[0], journal, *words[1:])
    command(stage, "migrate", "--from", "paydock", "--to", "monri")
    command(stage, "migrate", "--from", "paydock", "--to", "monri", "--accept-losses", *outputs)
    stage.simulator.environment()
    command(stage, "sync", "c.csv", "--to", "wonder", *outputs, "--ignore-unknown")
    (stage.folder / "c.csv").unlink()
    stage.written.folder(stage.folder)


def cards_in_files(stage: ScenarioContext) -> None:
    """Cards from a file: what failed is written down with its customer when that is asked for, never with its card."""
    columns = "reference,first_name,email,card,month,year,holder,gateway"
    row = f"k-1,x,x@example.org,{CARD},11,2031,{PERSONAL['card holder']},not-a-gateway"
    (stage.folder / "k.csv").write_text(f"{columns}\n{row}\n", encoding="utf-8")
    mapping = {
        "card": "number", "month": "expire_month", "year": "expire_year", "holder": "holder_name",
        "gateway": "gateway_id",
    }  # fmt: skip
    maps = [word for column, field in mapping.items() for word in ("--map", f"{column}=payment_source.{field}")]
    assert command(stage, "sync", "k.csv", "--to", "paydock", "--dead-letter-values", *maps) == 2
    command(stage, "plan", "k.csv", "--to", "paydock", *maps)
    (stage.folder / "k.csv").write_text(f"reference,cvv\nk-1,{CVV}\n", encoding="utf-8")
    assert command(stage, "sync", "k.csv", "--to", "paydock", "--debug") == 1
    (stage.folder / "k.csv").unlink()
    stage.written.folder(stage.folder)


def headless(stage: ScenarioContext) -> None:
    """A file whose first line is a customer where column names belong."""
    for number, line in enumerate((ROW.format("c-1"), f"{EMAIL}", f"reference,{EMAIL}", f"{NAME};{CARD}")):
        (stage.folder / "h.csv").write_text(f"{line}\n{line}\n", encoding="utf-8")
        assert command(stage, "sync", "h.csv", "--to", "monri", "--debug") == 1, number
    (stage.folder / "h.jsonl").write_text(orjson.dumps({EMAIL: NAME, "reference": "c-1"}).decode(), encoding="utf-8")
    assert command(stage, "plan", "h.jsonl", "--to", "monri", "--debug") == 1
    for path in stage.folder.glob("h.*"):
        path.unlink()
    stage.written.folder(stage.folder)


def queried(stage: ScenarioContext) -> None:
    """SQL that fails on a value."""
    (stage.folder / "q.csv").write_text(f"reference,email\nc-1,{EMAIL}\n", encoding="utf-8")
    for cast in ("CAST('' || email AS INTEGER)", "strptime(email, '%Y')", "error(email)", "CAST(email AS UUID)"):
        query = f"SELECT reference, {cast} AS name FROM source"
        assert command(stage, "plan", "q.csv", "--to", "monri", "--query", query, "--debug") == 1, cast
    (stage.folder / "q.csv").unlink()
    stage.written.folder(stage.folder)
