"""Bulk commands that could reveal a canary."""

import orjson
from security.canary_values import CARD, CITY, CVV, EMAIL, MEMBER, NAME, PERSONAL
from security.scenario_context import ScenarioContext, command

HEADER = "reference,name,email,phone,metadata.member"
ROW = f"{{}},{NAME},{EMAIL},+44 7911 987654,{MEMBER}"


def sync_commands(context: ScenarioContext) -> None:
    """Run every bulk command on rows that succeed, rows that are rejected and rows that cannot be read."""
    rows = [ROW.format(f"c-{number}") for number in range(4)]
    rows += [f'bad-1,{NAME},{EMAIL},"{NAME}"', f"c-1,{NAME},{EMAIL}", f'c-9,"{NAME}', f"c-8,{NAME},x,,{EMAIL},{CITY}"]
    (context.folder / "c.csv").write_text("\n".join([HEADER, *rows]) + "\n", encoding="utf-8")
    outputs = ("--report", "r.json", "--html", "r.html")
    for gateway in ("paydock", "monri"):
        context.simulator.faults.add("server_error", gateway=gateway, method="POST", status=400, times=1)
        command(context, "plan", "c.csv", "--to", gateway)
        assert command(context, "sync", "c.csv", "--to", gateway, *outputs) == 2
        context.simulator.faults.clear()
        # A later run removes the rows that arrive.
        context.output.add((context.folder / f"c.csv.{gateway}.failed.jsonl").read_bytes())
        journal = f"c.csv.{gateway}.journal"
        for words in (["retry-failed", *outputs], ["resume"], ["status"], ["status", "--json"], ["verify"]):
            command(context, words[0], journal, *words[1:])
        command(context, "ids", journal, "-o", f"ids.{gateway}.csv")
        command(context, "plan", "c.csv", "--to", gateway, "--save", f"plan.{gateway}.jsonl")
        command(context, "columns", "c.csv", "-o", f"mapping.{gateway}.toml")
        command(context, "forget", journal, "c-1", "--file", "c.csv")
    command(context, "migrate", "--from", "paydock", "--to", "monri")
    command(context, "migrate", "--from", "paydock", "--to", "monri", "--accept-losses", *outputs)
    context.simulator.environment()
    command(context, "sync", "c.csv", "--to", "wonder", *outputs, "--ignore-unknown")
    (context.folder / "c.csv").unlink()
    context.output.folder(context.folder)


def cards_in_files(context: ScenarioContext) -> None:
    """Read cards from a file. Dead letters contain the customer if requested, and never the card."""
    columns = "reference,first_name,email,card,month,year,holder,gateway"
    row = f"k-1,x,x@example.org,{CARD},11,2031,{PERSONAL['card holder']},not-a-gateway"
    (context.folder / "k.csv").write_text(f"{columns}\n{row}\n", encoding="utf-8")
    mapping = {
        "card": "number", "month": "expire_month", "year": "expire_year", "holder": "holder_name",
        "gateway": "gateway_id",
    }  # fmt: skip
    maps = [word for column, field in mapping.items() for word in ("--map", f"{column}=payment_source.{field}")]
    assert command(context, "sync", "k.csv", "--to", "paydock", "--failure-values", *maps) == 2
    command(context, "plan", "k.csv", "--to", "paydock", *maps)
    (context.folder / "k.csv").write_text(f"reference,cvv\nk-1,{CVV}\n", encoding="utf-8")
    assert command(context, "sync", "k.csv", "--to", "paydock", "--debug") == 1
    (context.folder / "k.csv").unlink()
    context.output.folder(context.folder)


def missing_header(context: ScenarioContext) -> None:
    """Read files whose first line is a customer instead of column names."""
    lines = (
        ROW.format("c-1"), EMAIL, f"reference,{EMAIL}", f"{NAME};{CARD}", f"1,{NAME},Split",
        f"reference,{EMAIL},{NAME}", f"reference,mail {EMAIL}",
    )  # fmt: skip
    for number, line in enumerate(lines):
        (context.folder / "h.csv").write_text(f"{line}\n{line}\n", encoding="utf-8")
        assert command(context, "sync", "h.csv", "--to", "monri", "--debug") == 1, number
    (context.folder / "h.jsonl").write_text(orjson.dumps({EMAIL: NAME, "reference": "c-1"}).decode(), encoding="utf-8")
    assert command(context, "plan", "h.jsonl", "--to", "monri", "--debug") == 1
    for path in context.folder.glob("h.*"):
        path.unlink()
    context.output.folder(context.folder)


def failed_query(context: ScenarioContext) -> None:
    """Run SQL that fails on a value."""
    (context.folder / "q.csv").write_text(f"reference,email\nc-1,{EMAIL}\n", encoding="utf-8")
    for cast in ("CAST('' || email AS INTEGER)", "strptime(email, '%Y')", "error(email)", "CAST(email AS UUID)"):
        query = f"SELECT reference, {cast} AS name FROM source"
        assert command(context, "plan", "q.csv", "--to", "monri", "--query", query, "--debug") == 1, cast
    (context.folder / "q.csv").unlink()
    context.output.folder(context.folder)
