"""Cassettes: recorded requests and responses without personal data and credentials, for replay in tests.

A cassette is a JSON file:

    {"version": 1, "interactions": [{
        "request": {"method": "POST", "target": "/v2/customers", "headers": ["authorization", …], "body": {…}},
        "response": {"status": 200, "headers": {"content-type": "application/json"}, "body": {…}}}]}

Private values are replaced by placeholders: ``{"redacted": 3, "type": "text"}``, or ``{redacted:3}`` in targets. Equal
values have equal numbers, and so has a sent value that a response contains in another form.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

import orjson
from attrs import define, evolve, field

from wonder_customers._core.redaction import Redactor, secret_words
from wonder_customers.dialects.json import DEPTH, UnreadableJsonError, deeper_than, parse_json
from wonder_customers.errors import ConfigurationError
from wonder_customers.transports import select_transport
from wonder_customers.wire import HttpRequest, HttpResponse, SignedRequest, Transmission, Transport, TransportError

__all__ = ["RecordingTransport", "ReplayTransport", "to_har"]

_IDS: Final = re.compile(
    r"_?id|(verify_|customer_)?uuid|reference(_number)?|(merchant_customer|customer|company|user|(default_)?gateway)_id"
    r"|default_source"
)
_FACTS: Final = re.compile(
    r"status|state|(token_)?type|(error_|status_)?code|deleted|archived|(created|updated|deleted)_at|default"
    r"|default_payment_method|expired|success|count|limit|skip|offset|expires_in|keep_until|card_number_last4"
    r"|linked_source_type|sortkey|sortdirection|grant_type|scopes|exp(ire)?_(month|year)|expiration_date"
)
"""Fields whose words, numbers and times come from the gateway."""
_FACT: Final = re.compile(r"[\w.:+-]{1,40}|[0-9]{4}-[-0-9:.+TUCGMZ ]{1,40}|Credit Card|Wechat Pay")
_OBJECTS: Final = frozenset(
    {"customer", "customers", "data", "resource", "payment_source", "payment_sources", "payment_token"}
    | {"card", "credit_card", "payment_tokens", "default_payment_token", "_service", "scopes", "error", "error_summary"}
)
"""The objects and lists in which ids and facts are kept. All others, such as metadata, may contain anything."""
_ROOT_MESSAGES: Final = frozenset({"message", "error", "error_message", "errors"})
_MESSAGES: Final = _ROOT_MESSAGES | {
    "messages", "details", "description", "param_name", "path", "gateway_specific_code",
    "gateway_specific_description", "status_code", "status_code_description",
}  # fmt: skip
"""The messages in the errors of a refusal. They are redacted like the messages of errors."""
_ERRORS: Final = frozenset({"error", "errors", "error_summary", "details", "message", "messages"})
_KEPT_HEADERS: Final = ("content-type", "retry-after", "x-total-entries")
_IN_TEXT: Final = re.compile(r"\{redacted:(\d+)\}")
_E_MAIL: Final = re.compile(r"\S@\S")
_URL: Final = re.compile(r"https?://")
_PHONE: Final = re.compile(r"[0-9 ()./+-]{7,}")

Json = Any


@define
class _Redaction:
    """The numbers of redacted values, and the first number of each usual form, which also applies in responses."""

    numbers: dict[tuple[str, Any], int] = field(factory=dict)
    similar: dict[Any, int] = field(factory=dict)
    received: bool = False  # whether the values are those of a response

    def mark(self, value: Any) -> Json:
        """Return the replacement for a string or a number."""
        kind = "text" if isinstance(value, str) else "number"
        usual = _usual_form(value) if kind == "text" else value
        number = self.numbers.get((kind, value)) or (self.similar.get(usual) if self.received else None)
        number = number or self.numbers.setdefault((kind, value), len(self.numbers) + 1)
        self.similar.setdefault(usual, number)
        return {"redacted": number, "type": "url" if kind == "text" and _URL.match(value) else kind}

    def json(
        self,
        value: Json,
        key: str = "",
        *,
        known: bool = True,
        messages: frozenset[str] = frozenset(),
        redact: Callable[[str], str] = str,
    ) -> Json:
        """Return a JSON value with private values replaced.

        Args:
            value: The value.
            key: The name of the value.
            known: Whether gateways have ids and facts at this place.
            messages: The names of the gateway's messages at this place, which are passed to `redact`.
            redact: A function that returns a message without private values.
        """
        if isinstance(value, (dict, list)):
            known = known and (not key or key in _OBJECTS)
            if messages and key:
                messages = _MESSAGES if key in _ERRORS else frozenset()

            def inner(item: Json, name: str) -> Json:
                return self.json(item, name, known=known, messages=messages, redact=redact)

            if isinstance(value, list):
                return [inner(item, key) for item in value]
            # The keys of ``errors`` are the names of fields.
            return {name: inner(item, key if messages and key == "errors" else name) for name, item in value.items()}
        if value is None or isinstance(value, bool) or value in {"", "success"}:
            return value
        if isinstance(value, str) and key in messages:
            return self.text(redact(value))
        return value if known and self._is_kept(key, value) else self.mark(value)

    def _is_kept(self, key: str, value: str | float) -> bool:
        if _FACTS.fullmatch(key):
            return _FACT.fullmatch(str(value)) is not None
        private = _usual_form(str(value)) in self.similar or _E_MAIL.search(str(value))
        return _IDS.fullmatch(key) is not None and not private

    def text(self, text: str) -> str:
        """Return a message with redacted values replaced by ``…``."""
        for kind, value in self.numbers:
            if kind == "text" and len(value) >= 4:
                text = text.replace(value, "…")
        return text

    def target(self, target: str) -> str:
        """Return a target with private values replaced."""
        path, mark, query = target.partition("?")
        segments = [self._part(it, known=True) for it in path.split("/")]
        pairs = [pair.partition("=") for pair in query.split("&")] if query else []
        listed = [f"{name}={self._part(value, known=self._is_kept(name, unquote(value)))}" for name, _, value in pairs]
        return "/".join(segments) + mark + "&".join(listed)

    def _part(self, part: str, *, known: bool = False) -> str:
        value = unquote(part)
        private = _usual_form(value) in self.similar or _E_MAIL.search(value)
        return f"{{redacted:{self.mark(value)['redacted']}}}" if private or not known else part


class RecordingTransport:
    """A transport that records the requests and responses of another transport.

    Args:
        inner: The transport that sends the requests, such as ``AsyncioTransport()``; None for the default.
        path: The path of the cassette. Its folder is created.
        write_on_close: Whether the cassette is written when the transport is closed, or only by `write`.
    """

    def __init__(self, inner: Transport | None, path: Path | str, *, write_on_close: bool = True) -> None:
        self.inner: Transport | None = inner
        self.path: Path = Path(path)
        self.write_on_close: bool = write_on_close
        self.interactions: list[Json] = []
        self._redaction = _Redaction()

    async def send(self, signed_request: SignedRequest, transmission: Transmission) -> HttpResponse:
        """Send the request over `inner`, and record it with its response. If `inner` fails, nothing is recorded."""
        if self.inner is None:
            self.inner, _ = select_transport(None, 32)
        response = await self.inner.send(signed_request, transmission)
        request = {
            "method": signed_request.method,
            "target": self._redaction.target(signed_request.target),
            "headers": list(dict.fromkeys(name.decode("latin-1").lower() for name, _ in signed_request.headers)),
            "body": self._redaction.json(_json(signed_request.body)),
        }
        self.interactions.append({"request": request, "response": self._response(signed_request, response)})
        return response

    def _response(self, sent: SignedRequest, response: HttpResponse) -> Json:
        body = _json(response.body)
        redactor = Redactor(HttpRequest(sent.method, sent.target, "", sent.body), secret_words(sent.headers))
        refused = response.status >= 400 or (isinstance(body, dict) and str(body.get("code")) not in {"None", "200"})
        messages = _ROOT_MESSAGES if refused else frozenset()
        redacted = evolve(self._redaction, received=True).json(body, messages=messages, redact=redactor.redact)
        headers = {name: value for name, value in response.headers.items() if name in _KEPT_HEADERS}
        return {"status": response.status, "headers": headers, "body": redacted}

    async def aclose(self) -> None:
        """Close `inner`, and write the cassette unless `write_on_close` is false."""
        if self.inner is not None:
            await self.inner.aclose()
        if self.write_on_close:
            self.write()

    def write(self) -> None:
        """Write the cassette with the interactions recorded so far."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        cassette = {"version": 1, "interactions": self.interactions}
        self.path.write_bytes(orjson.dumps(cassette, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


class ReplayTransport:
    """A transport that returns the responses in a cassette and sends nothing.

    Each interaction is replayed once. A request without a matching interaction raises `TransportError`.

    Args:
        path: The path of the cassette.

    Raises:
        ConfigurationError: The cassette does not exist, cannot be read, or is not valid.
    """

    def __init__(self, path: Path | str) -> None:
        self.path: Path = Path(path)
        self._left = read_cassette(self.path)
        self._values: dict[int, Any] = {}

    @property
    def unused(self) -> tuple[str, ...]:
        """The recorded requests whose responses have not been replayed, such as ``GET /v2/customers``."""
        return tuple(f"{it['request']['method']} {it['request']['target']}" for it in self._left)

    async def send(self, signed_request: SignedRequest, transmission: Transmission) -> HttpResponse:
        """Return the response to the first unused recorded request that matches this request.

        Raises:
            TransportError: No unused recorded request matches.
        """
        body = _json(signed_request.body)
        for index, interaction in enumerate(self._left):
            recorded = interaction["request"]
            values = dict(self._values)
            if (
                recorded["method"] == signed_request.method
                and _target_matches(recorded["target"], signed_request.target, values)
                and _matches(recorded["body"], body, values)
            ):
                self._values = values
                del self._left[index]
                return self._replayed(interaction["response"], transmission)
        raise TransportError(
            f"the cassette {self.path.name} has no unused response to this {signed_request.method} request",
            retryable=False,
            hint="Use fixed references, so that runs send equal requests, or record the test with `pytest --record`.",
        )

    def _replayed(self, recorded: Json, transmission: Transmission) -> HttpResponse:
        body = recorded["body"]
        content = body.encode() if isinstance(body, str) else orjson.dumps(self._restored(body))
        transmission.sent, transmission.status = True, recorded["status"]
        transmission.headers = recorded["headers"]
        return HttpResponse(recorded["status"], recorded["headers"], b"" if body is None else content)

    def _restored(self, value: Json) -> Json:
        """Return a JSON value with its placeholders replaced."""
        number = _number(value)
        if number is not None:
            unknown = {"text": f"redacted-{number}", "url": f"https://redacted-{number}.invalid/"}
            return self._values.get(number, unknown.get(value["type"], number))
        if isinstance(value, dict):
            return {name: self._restored(item) for name, item in value.items()}
        return [self._restored(item) for item in value] if isinstance(value, list) else value

    async def aclose(self) -> None:
        """Do nothing."""


def read_cassette(path: Path) -> list[Json]:
    """Return the interactions of a cassette. Raise `ConfigurationError` if it cannot be read or is not valid."""
    try:
        cassette = orjson.loads(path.read_bytes())
        if cassette["version"] == 1 and all(map(_is_interaction, cassette["interactions"])):
            return list(cassette["interactions"])
    except FileNotFoundError:
        raise ConfigurationError(f"the cassette {path} does not exist. Record it with `pytest --record`.") from None
    except OSError as error:
        raise ConfigurationError(f"the cassette {path} cannot be read: {error.strerror}.") from None
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        pass
    raise ConfigurationError(f"{path} is not a cassette of version 1. Record it again with `pytest --record`.")


def _is_interaction(value: Json) -> bool:
    """Return whether a value of a cassette is an interaction, or raise an error of the first missing part."""
    request, response = value["request"], value["response"]
    texts = [request["method"], request["target"], *request["headers"], *response["headers"].values()]
    parts = {"body"} <= request.keys() & response.keys() and type(response["status"]) is int
    return parts and not deeper_than(DEPTH + 4, value) and all(isinstance(it, str) for it in texts)


def to_har(path: Path | str) -> dict[str, Any]:
    """Return a cassette in the HTTP Archive format (HAR 1.2).

    Raises:
        ConfigurationError: The cassette does not exist, cannot be read, or is not valid.
    """
    entries = [_har_entry(it["request"], it["response"]) for it in read_cassette(Path(path))]
    return {"log": {"version": "1.2", "creator": {"name": "wonder-customers", "version": "1"}, "entries": entries}}


def _har_entry(request: Json, response: Json) -> dict[str, Any]:
    common: dict[str, Any] = {"httpVersion": "HTTP/1.1", "cookies": [], "headersSize": -1, "bodySize": -1}
    text = orjson.dumps(response["body"]).decode()
    headers = [{"name": name, "value": value} for name, value in response["headers"].items()]
    sent = {
        "method": request["method"],
        "url": f"https://gateway.invalid{request['target']}",
        "headers": [{"name": name, "value": ""} for name in request["headers"]],
        "queryString": [],
        "postData": {"mimeType": "application/json", "text": orjson.dumps(request["body"]).decode()},
    }
    content = {"size": len(text), "mimeType": response["headers"].get("content-type", ""), "text": text}
    received = {"status": response["status"], "statusText": "", "headers": headers, "content": content}
    return {
        "startedDateTime": "1970-01-01T00:00:00Z",
        "time": 0,
        "request": {**common, **sent},
        "response": {**common, **received, "redirectURL": ""},
        "cache": {},
        "timings": {"send": 0, "wait": 0, "receive": 0},
    }


def _json(body: bytes) -> Json:
    """Return a body as a JSON value."""
    try:
        return parse_json(body, repair=True) if body else None
    except UnreadableJsonError:
        return f"{len(body)} bytes that are not JSON"


def _usual_form(text: str) -> str:
    """Return the digits of a telephone number, or the text in lower case."""
    return re.sub("[^0-9]", "", text).lstrip("0") if _PHONE.fullmatch(text) else text.casefold()


def _number(value: Json) -> int | None:
    marked = isinstance(value, Mapping) and value.keys() == {"redacted", "type"} and isinstance(value["type"], str)
    return value["redacted"] if marked and isinstance(value["redacted"], int) else None


def _matches(recorded: Json, value: Json, values: dict[int, Any]) -> bool:
    """Return whether a JSON value matches a recorded value."""
    number = _number(recorded)
    if number is not None:
        return not isinstance(value, (dict, list)) and bool(values.setdefault(number, value) == value)
    if isinstance(recorded, dict) and isinstance(value, dict):
        same_keys = recorded.keys() == value.keys()
        return same_keys and all(_matches(it, value[name], values) for name, it in recorded.items())
    if isinstance(recorded, list) and isinstance(value, list):
        return len(recorded) == len(value) and all(map(_matches, recorded, value, [values] * len(value)))
    return bool(recorded == value)


def _target_matches(recorded: str, target: str, values: dict[int, Any]) -> bool:
    parts, found = re.split(r"([/?&=])", recorded), re.split(r"([/?&=])", target)
    if len(parts) != len(found):
        return False
    for part, own in zip(parts, found, strict=True):
        mark = _IN_TEXT.fullmatch(part)
        if mark is None:
            if part != own:
                return False
        elif values.setdefault(int(mark[1]), unquote(own)) != unquote(own):
            return False
    return True
