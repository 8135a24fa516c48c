"""The gateways that are shipped pass the suite that other packages run."""

from wonder_customers.testing.conformance import DialectConformance


class TestWonder(DialectConformance):
    gateway = "wonder"


class TestPaydock(DialectConformance):
    gateway = "paydock"


class TestMonri(DialectConformance):
    gateway = "monri"
