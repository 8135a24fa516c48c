"""Operations of Monri: their responses, requests and results."""

from dialects.bodies import ids_of
from dialects.request_cases import case, returns_nothing, returns_tokens
from gateway_responses import UUID, monri_customer
from mock_gateway import golden

from wonder_customers import Address, CustomerDraft, CustomerPatch, Phone

MONRI_DRAFT = CustomerDraft(
    reference="customer-id-1234",
    description="Customer",
    email="email@email.com",
    first_name="Te",
    last_name="st",
    phone=Phone("+387", "61 000 111"),
    metadata={"key": "value"},
    address=Address(line1="Ferhadija 1", postcode="71000", city="Sarajevo", country="BA"),
)
MONRI_SENT = {**golden("monri", "create_request"), "name": "Te st"}
FIND = "GET /v2/merchants/customers/customer-id-1234"
MISSING = (404, {"status": "invalid-request", "message": "Customer not found"})
TAKEN = (400, {"status": "invalid-request", "message": "Merchant customer has already been taken"})
CREATE = ("POST /v2/customers", MONRI_SENT, monri_customer())
UPDATE = (f"POST /v2/customers/{UUID}", MONRI_SENT, monri_customer())
DELETE = f"DELETE /v2/customers/{UUID}"
DELETED = golden("monri", "delete_response")
END = {"status": "approved", "data": []}

MONRI = {
    "create": case(lambda s: s.create(MONRI_DRAFT), CREATE),
    "create answered with 201": case(
        lambda s: s.create(MONRI_DRAFT), ("POST /v2/customers", MONRI_SENT, (201, monri_customer()))
    ),
    "upsert of a new one": case(lambda s: s.upsert(MONRI_DRAFT), (FIND, None, MISSING), CREATE),
    "upsert of a known one": case(lambda s: s.upsert(MONRI_DRAFT), (FIND, None, monri_customer()), UPDATE),
    "upsert of one that another made meanwhile": case(
        lambda s: s.upsert(MONRI_DRAFT),
        (FIND, None, MISSING),
        ("POST /v2/customers", MONRI_SENT, TAKEN),
        (FIND, None, monri_customer()),
        UPDATE,
    ),
    "get": case(lambda s: s.get(UUID), (f"GET /v2/customers/{UUID}", None, monri_customer())),
    "get_by_reference": case(lambda s: s.get_by_reference("customer-id-1234"), (FIND, None, monri_customer())),
    "update": case(
        lambda s: s.update(
            UUID,
            CustomerPatch(name="Test Customer", phone=None, metadata={"key": None}, address=Address(city="Mostar")),
        ),
        (f"POST /v2/customers/{UUID}", golden("monri", "update_request"), monri_customer()),
    ),
    "delete": case(
        lambda s: s.delete(UUID), (DELETE, None, golden("monri", "delete_response")), result=returns_nothing
    ),
    "delete answered with a uuid": case(
        lambda s: s.delete(UUID),
        (DELETE, None, {"status": "approved", "uuid": UUID, "deleted": True}),
        result=returns_nothing,
    ),
    "delete answered without a body": case(
        lambda s: s.delete(UUID), (DELETE, None, (204, None)), result=returns_nothing
    ),
    "list": case(
        ids_of,
        ("GET /v2/customers?limit=50&offset=0", None, golden("monri", "list_response")),
        ("GET /v2/customers?limit=50&offset=1", None, END),
        result=lambda it: it == [UUID],
    ),
    "list with uuids": case(
        lambda s: ids_of(s, cursor="50"),
        ("GET /v2/customers?limit=50&offset=50", None, {"status": "approved", "data": [monri_customer()]}),
        ("GET /v2/customers?limit=50&offset=51", None, END),
        result=lambda it: it == [UUID],
    ),
    "list_payment_tokens": case(
        lambda s: s.list_payment_tokens(UUID),
        (
            f"GET /v2/customers/{UUID}/payment-methods?limit=50&offset=0",
            None,
            golden("monri", "payment_methods_response"),
        ),
        result=returns_tokens("00c1eb1a4a0b61d1c2921c8d3a3f4570801da3f3f087c280e832cb4876a5e633"),
    ),
}
