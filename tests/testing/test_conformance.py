"""The built-in dialects pass the conformance suite."""

from wonder_customers.testing.conformance import DialectConformance


class TestWonder(DialectConformance):
    gateway = "wonder"


class TestPaydock(DialectConformance):
    gateway = "paydock"


class TestMonri(DialectConformance):
    gateway = "monri"
