"""Operations of Monri: their responses, requests and results."""

from dialects.bodies import ids_of
from dialects.request_cases import Case, returns_customer, returns_tokens, single
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
MONRI = {
    "create": single(
        lambda s: s.create(MONRI_DRAFT), "POST /v2/customers", monri_customer(), returns_customer(UUID), MONRI_SENT
    ),
    "create answered with 201": Case(
        lambda s: s.create(MONRI_DRAFT),
        ((201, monri_customer()),),
        ("POST /v2/customers",),
        (MONRI_SENT,),
        returns_customer(UUID),
    ),
    "upsert of a new one": Case(
        lambda s: s.upsert(MONRI_DRAFT),
        ((404, {"status": "invalid-request", "message": "Customer not found"}), (200, monri_customer())),
        ("GET /v2/merchants/customers/customer-id-1234", "POST /v2/customers"),
        (None, MONRI_SENT),
        returns_customer(UUID),
    ),
    "upsert of a known one": Case(
        lambda s: s.upsert(MONRI_DRAFT),
        ((200, monri_customer()), (200, monri_customer())),
        ("GET /v2/merchants/customers/customer-id-1234", f"POST /v2/customers/{UUID}"),
        (None, MONRI_SENT),
        returns_customer(UUID),
    ),
    "upsert of one that another made meanwhile": Case(
        lambda s: s.upsert(MONRI_DRAFT),
        (
            (404, {"status": "invalid-request", "message": "Customer not found"}),
            (400, {"status": "invalid-request", "message": "Merchant customer has already been taken"}),
            (200, monri_customer()),
            (200, monri_customer()),
        ),
        (
            "GET /v2/merchants/customers/customer-id-1234",
            "POST /v2/customers",
            "GET /v2/merchants/customers/customer-id-1234",
            f"POST /v2/customers/{UUID}",
        ),
        (None, MONRI_SENT, None, MONRI_SENT),
        returns_customer(UUID),
    ),
    "get": single(lambda s: s.get(UUID), f"GET /v2/customers/{UUID}", monri_customer(), returns_customer(UUID)),
    "get_by_reference": single(
        lambda s: s.get_by_reference("customer-id-1234"),
        "GET /v2/merchants/customers/customer-id-1234",
        monri_customer(),
        returns_customer(UUID),
    ),
    "update": single(
        lambda s: s.update(
            UUID,
            CustomerPatch(name="Test Customer", phone=None, metadata={"key": None}, address=Address(city="Mostar")),
        ),
        f"POST /v2/customers/{UUID}",
        monri_customer(),
        returns_customer(UUID),
        golden("monri", "update_request"),
    ),
    "delete": single(
        lambda s: s.delete(UUID),
        f"DELETE /v2/customers/{UUID}",
        golden("monri", "delete_response"),
        lambda it: it is None,
    ),
    "delete answered with a uuid": single(
        lambda s: s.delete(UUID),
        f"DELETE /v2/customers/{UUID}",
        {"status": "approved", "uuid": UUID, "deleted": True},
        lambda it: it is None,
    ),
    "delete answered without a body": Case(
        lambda s: s.delete(UUID), ((204, None),), (f"DELETE /v2/customers/{UUID}",), (None,), lambda it: it is None
    ),
    "list": Case(
        ids_of,
        ((200, golden("monri", "list_response")), (200, {"status": "approved", "data": []})),
        ("GET /v2/customers?limit=50&offset=0", "GET /v2/customers?limit=50&offset=1"),
        (None, None),
        lambda it: it == [UUID],
    ),
    "list with uuids": Case(
        lambda s: ids_of(s, cursor="50"),
        ((200, {"status": "approved", "data": [monri_customer()]}), (200, {"status": "approved", "data": []})),
        ("GET /v2/customers?limit=50&offset=50", "GET /v2/customers?limit=50&offset=51"),
        (None, None),
        lambda it: it == [UUID],
    ),
    "list_payment_tokens": single(
        lambda s: s.list_payment_tokens(UUID),
        f"GET /v2/customers/{UUID}/payment-methods?limit=50&offset=0",
        golden("monri", "payment_methods_response"),
        returns_tokens("00c1eb1a4a0b61d1c2921c8d3a3f4570801da3f3f087c280e832cb4876a5e633"),
    ),
}
