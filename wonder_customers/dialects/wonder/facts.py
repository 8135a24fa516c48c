"""Facts about Wonder."""

from typing import Final

from wonder_customers.dialects.facts import Confidence, Fact

_DOCUMENTED, _SEEN = Confidence.DOCUMENTED, Confidence.SEEN
_INFERRED, _UNKNOWN = Confidence.INFERRED, Confidence.UNKNOWN
_AUTHENTICATION: Final = 'Wonder\'s "Authentication" page'
_MANAGEMENT: Final = 'Wonder\'s "Customer management" page'
_MOBILE: Final = "Wonder's mobile client"

FACTS: Final = (
    Fact(
        "headers",
        "Requests have the headers Credential, Nonce and Signature; the time is UTC and at most 30 minutes off.",
        _DOCUMENTED,
        _AUTHENTICATION,
        "echo with a wrong key: HTTP 401 or 403",
    ),
    Fact(
        "signature",
        "The steps of the signature.",
        _SEEN,
        "Wonder's PHP client and two public ports, which agree; no test vector is published",
        "echo",
    ),
    Fact(
        "signed-query",
        "The query string is signed with the path, percent-encoded as sent.",
        _INFERRED,
        "Wonder's PHP client signs the query of other endpoints",
        "list with a filter",
    ),
    Fact(
        "echo",
        "POST /svc/payment/api/v1/echo checks credentials and has no side effects.",
        _DOCUMENTED,
        'Wonder\'s "Get started" page; public code calls /svc/payment/api/v1/openapi/echo',
        "echo",
    ),
    Fact(
        "upsert",
        "A create with a known reference_number updates that customer and keeps its uuid.",
        _DOCUMENTED,
        'Wonder\'s "Create a customer" page',
        "create twice",
    ),
    Fact(
        "omitted-fields",
        "Whether a second create clears fields that it omits. An update sends all fields that were read.",
        _UNKNOWN,
        "no source",
        "create again with fewer fields",
    ),
    Fact(
        "get-by-reference",
        "GET /customers/ref/{reference_number}.",
        _DOCUMENTED,
        'Wonder\'s "Get customer by ref id" page',
        "read",
    ),
    Fact(
        "get-by-uuid",
        "GET /customers/{uuid} returns a customer.",
        _INFERRED,
        f"{_MANAGEMENT} (it exists); {_MOBILE} (the path)",
        "read",
    ),
    Fact(
        "company-name",
        "company_name is accepted and not part of responses, so it is not compared.",
        _DOCUMENTED,
        'the response schema of Wonder\'s "Create a customer" page',
        "create with a company name",
    ),
    Fact(
        "paging",
        "Lists have limit (at most 1000) and offset. The default limit is unknown.",
        _DOCUMENTED,
        'Wonder\'s "Query DSL" page',
        "list",
    ),
    Fact(
        "total",
        "The header X-Total-Entries of a list has the total.",
        _DOCUMENTED,
        'Wonder\'s "Get customers" page',
        "list",
    ),
    Fact(
        "filters",
        "Lists have the filters filter[field][_op], with _eq, _neq, _gt, _gte, _lt, _lte, _contains, _in.",
        _DOCUMENTED,
        'Wonder\'s "Query DSL" page',
        "list with a filter",
    ),
    Fact(
        "tokens",
        "Payment tokens can be created, checked, listed and deleted.",
        _DOCUMENTED,
        f"Wonder's payment token pages and {_MANAGEMENT}",
        "create, check, list and delete a token",
    ),
    Fact(
        "token-paths",
        "The path of the token endpoints has the customer's uuid; a delete has the token in a JSON body.",
        _SEEN,
        _MOBILE,
        "create, check, list and delete a token",
    ),
    Fact(
        "card-nesting",
        "3ds is an object inside card.",
        _SEEN,
        f"{_MOBILE}; the document can be read in two ways",
        "create a token",
    ),
    Fact(
        "card-encryption",
        "Whether card data must be encrypted. It is sent as in the merchant documentation, over TLS.",
        _UNKNOWN,
        f"{_MOBILE} encrypts on its own path",
        "create a token",
    ),
    Fact(
        "refusal-in-200",
        "A refusal may have HTTP 200; the code in the body decides.",
        _SEEN,
        _MOBILE,
        "create with an invalid field",
    ),
    Fact(
        "not-found",
        "An unknown customer is HTTP 404, an empty customer, or a message such as 'not found'.",
        _UNKNOWN,
        "no source",
        "read an unknown id",
    ),
    Fact(
        "language",
        "x-i18n-lang (en, zh-HK, zh-CN) selects the language of messages. It is sent if Wonder(language=…) is set.",
        _DOCUMENTED,
        "Wonder's endpoint pages",
    ),
    Fact("deletion", "The API has no endpoint that deletes a customer.", _UNKNOWN, "no source mentions one"),
    Fact("rate-limit", "The table of error codes, and rate limits. Retry-After is respected.", _UNKNOWN, "no source"),
)
