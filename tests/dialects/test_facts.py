"""The facts about gateways, from which the pages' tables are generated."""

from wonder_customers.dialects import package
from wonder_customers.dialects.facts import Confidence, facts_of


def test_facts_have_sources_and_every_confidence(gateway: str) -> None:
    facts = facts_of(package(gateway).__name__)
    assert len(facts) > 15
    for fact in facts:
        assert fact.statement.endswith("."), fact.name
        assert fact.source, fact.name
        assert "|" not in fact.statement + fact.source, fact.name
    assert {fact.confidence for fact in facts} >= {Confidence.DOCUMENTED, Confidence.SEEN, Confidence.UNKNOWN}
