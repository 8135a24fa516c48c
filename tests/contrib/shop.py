"""A small shop: customers sign up, save a card, and see when the card may be used. Run it with uvicorn.

``SHOP_…`` variables set its timeouts, and the gateways' own variables its accounts.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from os import environ
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, Request
from pydantic import BaseModel

from wonder_customers import (
    CardSource,
    CustomerDraft,
    CustomerSession,
    Monri,
    Paydock,
    PaymentToken,
    Phone,
    RetryPolicy,
    Wonder,
)
from wonder_customers.contrib.starlette import (
    ClientDisconnected,
    cancel_on_disconnect,
    customer_lifespan,
    customer_session,
    install_error_handlers,
)
from wonder_customers.transports.httpx import HttpxTransport

PATIENCE = RetryPolicy(
    deadline=float(environ.get("SHOP_DEADLINE", "20")),
    read_timeout=float(environ.get("SHOP_READ_TIMEOUT", "5")),
    confirmation_window=float(environ.get("SHOP_SETTLE", "2")),
    base=0.02,
)
LINES = HttpxTransport(max_connections=8)
LEFT: list[str] = []


@asynccontextmanager
async def resources(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    """Open the accounts of the tenants and the transport that `health` reports."""
    accounts = {kind.__name__.lower(): kind.from_environment() for kind in (Wonder, Paydock, Monri)}
    yield {"accounts": accounts}
    await LINES.aclose()


app = FastAPI(lifespan=customer_lifespan(Wonder.from_environment, lifespan=resources, retry=PATIENCE, transport=LINES))
install_error_handlers(app)


async def tenant_session(
    request: Request,
    session: Annotated[CustomerSession[Any], Depends(customer_session)],
    tenant: Annotated[str, Header(alias="X-Tenant")] = "wonder",
) -> CustomerSession[Any]:
    """Return a view of the session for the tenant's account."""
    return session.for_account(request.state.accounts[tenant])


Customers = Annotated[CustomerSession[Any], Depends(tenant_session)]


class SignUp(BaseModel):
    """The sign-up form."""

    user: str
    name: str
    dial_code: str = "+44"
    phone: str = "7911123456"


class Card(BaseModel):
    """The card form."""

    number: str
    expire_month: str
    expire_year: str
    holder_name: str


class CardState(BaseModel):
    """The public part of a stored card."""

    token: str
    state: str | None
    verify_url: str | None


def shown(token: PaymentToken) -> CardState:
    return CardState(token=token.token, state=token.state, verify_url=token.verify_url)


@app.post("/customers", status_code=201)
async def sign_up(request: Request, visitor: SignUp, customers: Customers) -> dict[str, str]:
    """Upsert by the shop's user id, so that a sign-up can be repeated after a connection error."""
    draft = CustomerDraft(reference=visitor.user, name=visitor.name, phone=Phone(visitor.dial_code, visitor.phone))
    try:
        customer = await cancel_on_disconnect(request, lambda: customers.upsert(draft))
    except ClientDisconnected:
        LEFT.append(visitor.user)
        raise
    return {"customer": customer.id}


@app.post("/customers/{id}/cards", status_code=202)
async def save_card(id: str, card: Card, customers: Customers) -> CardState:
    """Store a card without cancellation, because a repeated request would store it twice."""
    source = CardSource(
        **card.model_dump(),
        transaction_type="recurring_payment",
        success_return_url="https://shop.example/ok",
        fail_return_url="https://shop.example/no",
    )
    return shown(await customers.create_payment_token(id, source))


@app.get("/customers/{id}/cards/{token}")
async def card_state(request: Request, id: str, token: str, customers: Customers) -> CardState:
    """Return the state of a card. Clients poll until the cardholder has confirmed it; no webhook is needed."""
    return shown(await cancel_on_disconnect(request, lambda: customers.check_payment_token(id, token)))


@app.get("/health")
async def health() -> dict[str, int]:
    """Return busy and open connections, and the number of sign-ups cancelled by a disconnect."""
    return {"busy": LINES.busy_connections, "open": LINES.open_connections, "left": len(LEFT)}
