"""The draft of a customer from the values of one row."""

from collections.abc import Mapping
from typing import Any

import orjson

from wonder_customers.bulk.rows import RowProblem
from wonder_customers.dialects.json import UnreadableJsonError, parse_source_json
from wonder_customers.records import Address, CardSource, CustomerDraft, Phone, VaultToken

__all__ = ["assembled", "metadata"]


def metadata(value: Any, where: str) -> Mapping[str, Any]:
    """Convert the value of a column with all metadata. Raise `RowProblem` if it cannot be used."""
    if isinstance(value, str):
        try:
            value = parse_source_json(value)
        except orjson.JSONDecodeError:
            value = None
        except UnreadableJsonError as error:
            raise RowProblem(f"{where}: the value contains {error}", "invalid metadata") from None
    if not isinstance(value, Mapping):
        raise RowProblem(f"{where}: the value must be a JSON object", "invalid metadata")
    return value


def assembled(found: Mapping[str, Any], place: str) -> CustomerDraft:
    """Build a draft from the values of a row, by field. Raise `RowProblem` if they contradict each other."""
    whole: dict[str, Any] = {}
    parts: dict[str, dict[str, Any]] = {}
    for path, value in found.items():
        head, _, tail = path.partition(".")
        if tail:
            parts.setdefault(head, {})[tail] = value
        else:
            whole[head] = value
    if "phone" in whole:
        if "phone" in parts:
            raise RowProblem(
                f"{place}: the row has both phone and a part of phone, such as phone.number", "invalid phone"
            )
        whole["phone"] = Phone.parse(whole["phone"])
    elif "phone" in parts:
        whole["phone"] = Phone(**parts["phone"])
    if "address" in parts:
        whole["address"] = Address(**parts["address"])
    if "metadata" in parts:
        whole["metadata"] = {**whole.get("metadata", {}), **parts["metadata"]}
    if "payment_source" in parts:
        whole["payment_source"] = _source(parts["payment_source"], place)
    return CustomerDraft(**whole)


def _source(given: dict[str, str], place: str) -> CardSource | VaultToken:
    if "vault_token" in given:
        if given.keys() - {"vault_token", "gateway_id"}:
            raise RowProblem(f"{place}: the row has both a vault token and a card", "invalid payment_source")
        return VaultToken(given["vault_token"], given.get("gateway_id"))
    if not given.keys() >= {"number", "expire_month", "expire_year"}:
        raise RowProblem(
            f"{place}: a card requires payment_source.number, payment_source.expire_month and"
            " payment_source.expire_year",
            "invalid payment_source",
        )
    return CardSource(**given)  # type: ignore[arg-type]  # number's converter wraps text
