"""Facts about Paydock."""

from typing import Final

from wonder_customers.dialects.facts import Confidence, Fact

_DOCUMENTED, _SEEN = Confidence.DOCUMENTED, Confidence.SEEN
_INFERRED, _UNKNOWN = Confidence.INFERRED, Confidence.UNKNOWN
_CLIENTS: Final = "Paydock's Java, PHP and .NET clients and their tests"

FACTS: Final = (
    Fact(
        "credentials",
        "A secret key is sent in x-user-secret-key, an access token in x-access-token.",
        _DOCUMENTED,
        f"Paydock's API reference; {_CLIENTS}",
        "list with a wrong key: HTTP 403",
    ),
    Fact(
        "create",
        "The fields of POST /v1/customers and the four flows of payment sources.",
        _DOCUMENTED,
        "Paydock's POST /v1/customers",
        "create with every field",
    ),
    Fact("endpoints", "Read, update by POST and archive by DELETE.", _SEEN, _CLIENTS, "read, update, delete"),
    Fact(
        "envelope",
        "Accepted responses have resource.data; refusals have error or error_summary.",
        _SEEN,
        "responses recorded in Paydock's Android tests",
        "create",
    ),
    Fact(
        "customer-fields",
        "The fields of a customer in responses, with numbers for the month and year of a card.",
        _DOCUMENTED,
        'Paydock\'s "Payment source" page; the models of its clients',
        "read",
    ),
    Fact(
        "echo",
        "Responses repeat reference, description and company_name. After a lost create, a missing field is a"
        " difference.",
        _INFERRED,
        "These are fields of requests.",
        "create with every field",
    ),
    Fact("metadata", "meta is an object whose values are strings.", _SEEN, _CLIENTS, "create with metadata"),
    Fact(
        "source-added",
        "A payment source in an update is added to the other sources.",
        _SEEN,
        _CLIENTS,
        "update with a source",
    ),
    Fact(
        "source-default",
        "An added payment source becomes the customer's default, unless the same request names the default.",
        _DOCUMENTED,
        "PowerBoard's API reference and Paydock's help desk",
        "update with a source",
    ),
    Fact(
        "reference",
        "Whether a reference is unique. It is treated as not unique, and compared exactly.",
        _UNKNOWN,
        "no source",
        "create twice",
    ),
    Fact(
        "paging",
        "Lists have limit (default 100, at most 1000), skip and the total count. Lists are requested oldest first.",
        _DOCUMENTED,
        "PowerBoard's API reference",
        "list",
    ),
    Fact(
        "filters",
        "Filters: id, reference, status, company_name, gateway_id, payment_source_id, archived; search in names.",
        _DOCUMENTED,
        "PowerBoard's API reference",
        "list with a filter",
    ),
    Fact(
        "archive",
        "DELETE archives the customer; lists omit archived customers.",
        _SEEN,
        f"{_CLIENTS}; PowerBoard's API reference (archived is false by default)",
        "delete, then list",
    ),
    Fact(
        "not-found",
        "An unknown id is HTTP 404; a malformed id is HTTP 404 or 400.",
        _SEEN,
        "Paydock's .NET test (404) and Android recordings (400)",
        "read an unknown id",
    ),
    Fact(
        "token-not-found",
        "A used or unknown one-time token is HTTP 400 'Token Not found', which is not about the customer.",
        _SEEN,
        "a response recorded at POST /v1/vault/payment_sources",
        "create with an unknown token",
    ),
    Fact(
        "refusal-details",
        "The reasons of a refusal are in details: path and messages, or gateway_specific_code and _description.",
        _SEEN,
        "Paydock's error codes; responses recorded in public test suites",
        "create with an invalid phone",
    ),
    Fact(
        "wrong-format",
        "An optional field in a wrong format is ignored. Limits are therefore checked before sending.",
        _DOCUMENTED,
        "PowerBoard's API reference",
        "create with an invalid e-mail",
    ),
    Fact("idempotency", "Idempotency keys. None is used.", _UNKNOWN, "no source"),
    Fact("rate-limit", "HTTP 401, 422, 429 and rate limits. Retry-After is respected.", _UNKNOWN, "no source"),
)
