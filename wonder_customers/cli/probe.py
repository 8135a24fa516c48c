"""``wonder-customers probe``: check the library's assumptions about a gateway against an account."""

from pathlib import Path
from typing import Annotated

import orjson
from attrs import asdict
from cyclopts import Parameter

from wonder_customers import probing
from wonder_customers.cli.error_messages import error_message
from wonder_customers.cli.exit_codes import FAILED, SUCCESS, USAGE
from wonder_customers.cli.job_outputs import new_file
from wonder_customers.cli.output import cell, console, plain_table, print_line, print_message
from wonder_customers.cli.runtime import run_with_session
from wonder_customers.cli.shared_options import Gateway
from wonder_customers.errors import CallError, ConfigurationError

__all__ = ["probe"]


def probe(
    gateway: Gateway,
    /,
    *,
    json: Annotated[
        Path | None,
        Parameter(help="Write a JSON report of status codes, header names and body structures to this new file."),
    ] = None,
    production: Annotated[
        bool, Parameter(help="Allow an account that is not a sandbox account, and send only reads.")
    ] = False,
) -> int:
    """Check the library's assumptions about a gateway against the account in the environment."""
    if json is not None and (json.exists() or not json.parent.is_dir()):
        problem = f"{json} already exists" if json.exists() else f"the folder {json.parent} does not exist"
        raise ConfigurationError(
            f"{problem}. Nothing was sent. Give the path of a new file in an existing folder with --json."
        )
    try:
        report = run_with_session(gateway, lambda session: probing.probe(session, production=production))
    except CallError as error:
        print_message(f"The probe could not be run: {error_message(error)}", "red")
        return USAGE
    table = plain_table("check", "fact", "believed", "seen")
    for it in report.findings:
        table.add_row(
            cell(it.name), cell(it.fact), cell(it.believed), cell(it.seen or "yes", "red" if it.seen else "green")
        )
    console().print(table)
    for it in report.differences:
        print_line(f"{it.name}: {it.advice}")
    for step, reason in report.failed.items():
        print_line(f"The step {step} failed: {reason}", "red")
    if report.left_behind:
        print_message(
            f"These test records were not deleted and remain at the gateway: {', '.join(report.left_behind)}.",
            "yellow",
        )
    if json is not None:
        new_file(json, orjson.dumps(asdict(report), option=orjson.OPT_INDENT_2).decode(), "--json")
    return FAILED if report.differences or report.failed else SUCCESS
