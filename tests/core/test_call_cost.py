"""Work that is done once must not be repeated in each call."""

import sys
import typing
from types import FrameType
from typing import Any

import pytest

from scripted_transport import CREATED, draft, make_harness, respond

_TYPE_CHECK = typing._type_check.__code__  # type: ignore[attr-defined]


@pytest.mark.parametrize("operation", ["create", "upsert"])
async def test_calls_evaluate_no_type_annotations(operation: str) -> None:
    """An annotation such as `Steps[Customer]` on an inner function takes as long as the signature of a request."""
    steps = [CREATED] if operation == "create" else [respond(404, {"message": "Customer not found"}), CREATED]
    it = make_harness(*steps, *steps)
    evaluated: list[str] = []

    def record(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code is _TYPE_CHECK:
            evaluated.append(frame.f_code.co_name)

    await getattr(it, operation)(draft())
    sys.setprofile(record)
    try:
        await getattr(it, operation)(draft())
    finally:
        sys.setprofile(None)
    assert evaluated == []
