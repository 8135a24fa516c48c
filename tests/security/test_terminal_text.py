"""Text of a gateway cannot control a terminal or forge lines of a log."""

import asyncio
from collections.abc import Callable

import pytest
from gateway_responses import HEX24, UUID
from mock_gateway import MockGateway, json_response

from wonder_customers import CallError
from wonder_customers._support.printable import UNSAFE
from wonder_customers.cli.output import json_line

HOSTILE = "".join(map(chr, (*range(32), *range(127, 160)))) + "\u202e\u2066\u200f\u061c\u2028\u2029"
BODIES = [
    {"message": HOSTILE},
    {"status": HOSTILE, "message": "x"},
    {"code": HOSTILE, "message": HOSTILE, "error": HOSTILE, "error_code": HOSTILE, "error_message": HOSTILE},
    {"error": {"message": HOSTILE, "code": HOSTILE, "details": [{"path": HOSTILE, "message": HOSTILE}]}},
    {"error_summary": {"message": HOSTILE, "code": HOSTILE, "status_code": HOSTILE}, "resource": {"type": HOSTILE}},
    {"errors": {HOSTILE: [HOSTILE]}},
    {"errors": [HOSTILE]},
]


@pytest.mark.parametrize("status", [400, 404, 409, 422, 500])
def test_control_characters_of_a_gateway_are_escaped(gateway: str, status: int) -> None:
    async def attempts() -> list[CallError]:
        gateway_mock, errors = MockGateway(*(json_response(status, body) for body in BODIES)), list[CallError]()
        async with gateway_mock.session(gateway) as session:
            for _ in BODIES:
                with pytest.raises(CallError) as caught:
                    await session.get(HEX24 if gateway == "paydock" else UUID)
                errors.append(caught.value)
        return errors

    for error in asyncio.run(attempts()):
        texts = [str(error), error.reason, *map(str, error.args), *(it.cause for it in error.history)]
        texts += [getattr(error, name, None) or "" for name in ("message", "code")]
        for name, messages in getattr(error, "fields", {}).items():
            texts += [name, *messages]
        for text in texts:
            assert not UNSAFE.search(text)


def test_json_output_has_no_control_characters(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    json_line({"name": HOSTILE, HOSTILE: 1})
    written = capfdbinary.readouterr().out.decode()
    assert not UNSAFE.search(written.removesuffix("\n"))
    assert written.endswith("}\n")


@pytest.mark.parametrize("printed", [str, repr])
def test_escaped_text_is_readable(printed: Callable[[object], str]) -> None:
    from wonder_customers._support.printable import printable

    assert printed(printable("Größe\x1b[2J\n李")).strip("'").replace("\\\\", "\\") == "Größe\\x1b[2J\\n李"
