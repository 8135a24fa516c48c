"""A job asks for confirmation before it writes to a production account for the first time."""

from pathlib import Path

import pytest
from bulk.customers import write_csv
from cli.conftest import Command

from wonder_customers import Monri
from wonder_customers.cli.accounts import confirm_production
from wonder_customers.cli.exit_codes import USAGE
from wonder_customers.dialects.accounts import environment
from wonder_customers.errors import ConfigurationError

PRODUCTION = {
    "MONRI_BASE_URL": Monri.PRODUCTION,
    "MONRI_MERCHANT_KEY": "key-of-a-test",
    "MONRI_AUTHENTICITY_TOKEN": "token-of-a-test",
}


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (Monri.PRODUCTION, "production"),
        ("https://IPG.monri.com:443/", "production"),
        (Monri.SANDBOX + "/", "sandbox"),
        ("http://127.0.0.1:1", "simulator"),
        ("https://gateway.example", "another server"),
    ],
)
def test_environment_of_an_account(url: str, expected: str) -> None:
    assert environment(Monri("key", "token", base_url=url)) == expected


@pytest.mark.parametrize("words", [("sync", "c.csv"), ("migrate", "--from", "paydock")], ids=["sync", "migrate"])
def test_first_job_in_production_needs_a_confirmation(command: Command, folder: Path, words: tuple[str, ...]) -> None:
    write_csv(folder / "c.csv", 1)
    paydock = {"PAYDOCK_SECRET_KEY": "secret-of-a-test"}
    code, _, err = command(*words, "--to", "monri", env=PRODUCTION | paydock)
    assert code == USAGE
    assert "writes to the production account of monri" in " ".join(err.split())
    assert "Check the changes (for `sync`, run `plan`), then add --yes. Nothing was sent." in " ".join(err.split())
    assert not list(folder.glob("*.journal"))


@pytest.mark.parametrize(("typed", "agreed"), [("yes\n", True), ("no\n", False), ("", False)])
def test_confirmation_is_read_from_the_terminal(typed: str, agreed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal:
        def isatty(self) -> bool:
            return True

        def readline(self) -> str:
            return typed

    monkeypatch.setattr("sys.stdin", Terminal())
    account = Monri("key", "token", base_url=Monri.PRODUCTION)
    if agreed:
        confirm_production(account, "monri", yes=False)
    else:
        with pytest.raises(ConfigurationError, match="the job was not confirmed with `yes`"):
            confirm_production(account, "monri", yes=False)


def test_other_accounts_need_no_confirmation() -> None:
    confirm_production(Monri("key", "token"), "monri", yes=False)
