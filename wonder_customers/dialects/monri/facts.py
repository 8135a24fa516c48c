"""Facts about Monri."""

from typing import Final

from wonder_customers.dialects.facts import Confidence, Fact

_DOCUMENTED, _SEEN = Confidence.DOCUMENTED, Confidence.SEEN
_UNKNOWN = Confidence.UNKNOWN
_CUSTOMERS: Final = 'Monri\'s "Customers API"'
_ANDROID: Final = "Monri's Android client and its tests against the sandbox"

FACTS: Final = (
    Fact(
        "endpoints",
        "The base URLs and the seven customer endpoints.",
        _DOCUMENTED,
        _CUSTOMERS,
        "create, read by id and by reference, update, list, list payment methods, delete",
    ),
    Fact("fields", "The fields of customers and their lengths.", _DOCUMENTED, _CUSTOMERS, "create with every field"),
    Fact(
        "digest",
        "Requests are signed with WP3-v2.1 over time, token, path and body.",
        _DOCUMENTED,
        'Monri\'s "Requirements - API v2"; its published example is reproduced exactly',
        "list with a wrong key: HTTP 401",
    ),
    Fact(
        "digest-query",
        "The digest covers the query string.",
        _SEEN,
        "a third-party client, verified against the test gateway in July 2026",
        "list with a limit",
    ),
    Fact(
        "digest-delete", "The body counts as empty in the digest of a DELETE.", _SEEN, "a third-party client", "delete"
    ),
    Fact("clock-window", "The maximum age of a timestamp. The current time is sent.", _UNKNOWN, "no source"),
    Fact(
        "oauth",
        "A bearer token of POST /v2/oauth is accepted instead of the digest.",
        _SEEN,
        "Monri's Ruby and Android clients and a PHP client; not in the documentation",
        "list with auth=oauth",
    ),
    Fact("oauth-lifetime", "The unit of expires_in. It is read as seconds.", _UNKNOWN, "no source"),
    Fact(
        "id-name",
        "The key of the id in lists and deletions is uuid or id. Both are read.",
        _SEEN,
        f"{_CUSTOMERS} (id); {_ANDROID} (uuid)",
        "list and delete",
    ),
    Fact("null-fields", "Absent fields are null in responses.", _SEEN, _ANDROID, "create with few fields"),
    Fact(
        "partial-update",
        "An update changes only the fields that it contains, and null clears a field.",
        _DOCUMENTED,
        f"{_CUSTOMERS}; {_ANDROID}",
        "update one field",
    ),
    Fact(
        "duplicate-status",
        "A second create with the same merchant_customer_id is refused with HTTP 400.",
        _SEEN,
        "tests of two client libraries against the sandbox",
        "create twice",
    ),
    Fact(
        "duplicate-message",
        "The message of that refusal. After any 400 or 422 of an upsert's create, the reference is looked up once.",
        _UNKNOWN,
        "third-party code reads errors.merchant_customer_id: has already been taken",
        "create twice",
    ),
    Fact(
        "not-found",
        "An unknown customer is HTTP 404, or a message such as 'not found'.",
        _UNKNOWN,
        "no source",
        "read an unknown id",
    ),
    Fact(
        "error-body",
        "Refusals have status and message; error, a list errors and an object errors are read too.",
        _SEEN,
        "Monri's documentation (status, message); third-party clients (error, errors)",
        "create with an invalid field",
    ),
    Fact(
        "deletion",
        "A deletion is soft: the customer can still be read, with deleted true.",
        _DOCUMENTED,
        f"{_CUSTOMERS}; {_ANDROID}",
        "delete, then read",
    ),
    Fact(
        "deleted-reference",
        "Whether a deleted customer keeps its merchant_customer_id. It is treated as taken, and never written.",
        _UNKNOWN,
        "no source",
        "delete, then create with the same reference",
    ),
    Fact("deleted-in-lists", "Whether lists contain deleted customers. Check deleted.", _UNKNOWN, "no source", "list"),
    Fact("paging", "Lists have limit (default 50) and offset, newest customer first.", _DOCUMENTED, _CUSTOMERS, "list"),
    Fact("page-maximum", "The maximum limit of a list. 50 is requested by default.", _UNKNOWN, "no source", "list"),
    Fact(
        "expiry-date",
        "The expiration date of a card is the last day of its month; 12/27 is read too.",
        _SEEN,
        f"{_ANDROID}; third-party clients (12/27)",
        "list payment methods",
    ),
    Fact(
        "cards",
        "Cards are saved by payments (tokenize_pan, or the scenario add_payment_method), not by this API.",
        _DOCUMENTED,
        'Monri\'s "Payment Method API"',
    ),
    Fact("rate-limit", "Rate limits. Retry-After is respected.", _UNKNOWN, "no source"),
)
