"""The facts about gateways, from which the pages' tables are generated."""

from importlib import import_module
from typing import Any

import pytest

from wonder_customers.dialects import names, package
from wonder_customers.dialects.facts import Confidence, Fact


@pytest.mark.parametrize("gateway", names())
def test_facts_have_unique_names_and_sources(gateway: str) -> None:
    facts: tuple[Fact, ...] = import_module(f"{package(gateway).__name__}.facts").FACTS
    assert len({fact.name for fact in facts}) == len(facts) > 15
    for fact in facts:
        assert fact.statement.endswith("."), fact.name
        assert fact.source, fact.name
        assert "|" not in fact.statement + fact.source, fact.name


@pytest.mark.parametrize("gateway", names())
def test_facts_of_every_confidence_are_listed(gateway: str) -> None:
    facts: Any = import_module(f"{package(gateway).__name__}.facts").FACTS
    assert {fact.confidence for fact in facts} >= {Confidence.DOCUMENTED, Confidence.SEEN, Confidence.UNKNOWN}
