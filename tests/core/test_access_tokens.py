"""The bearer token: fetched when needed, used until shortly before its end, fetched anew once."""

from typing import Any, ClassVar

import pytest
from gateway_responses import UUID

from scripted_transport import CREATED, draft, make_harness, respond
from wonder_customers import AuthenticationError, Monri, Secret

pytestmark = pytest.mark.anyio


class TestBearer:
    TOKEN = staticmethod(
        respond(200, {"access_token": "first", "token_type": "Bearer", "expires_in": 900, "status": "approved"})
    )
    NEXT = staticmethod(
        respond(200, {"access_token": "second", "token_type": "Bearer", "expires_in": 900, "status": "approved"})
    )
    ACCOUNT = Monri("key", "token", auth="oauth")

    async def test_a_refused_token_is_fetched_anew_once(self) -> None:
        it = make_harness(self.TOKEN, respond(401, {}), self.NEXT, CREATED, account=self.ACCOUNT)
        await it.create(draft())
        assert [dict(out.headers).get(b"Authorization") for out in it.script.sent] == [
            None,
            b"Bearer first",
            None,
            b"Bearer second",
        ]

    async def test_two_refusals_are_the_credentials(self) -> None:
        it = make_harness(self.TOKEN, respond(401, {}), self.NEXT, respond(401, {}), account=self.ACCOUNT)
        with pytest.raises(AuthenticationError):
            await it.create(draft())

    async def test_a_token_that_cannot_be_fetched_ends_the_call_with_its_error(self) -> None:
        it = make_harness(respond(401, {"message": "no such client"}), account=self.ACCOUNT)
        with pytest.raises(AuthenticationError) as caught:
            await it.create(draft())
        assert caught.value.applied == "no"

    async def test_a_token_is_used_until_shortly_before_it_expires(self) -> None:
        it = make_harness(self.TOKEN, CREATED, CREATED, self.NEXT, CREATED, account=self.ACCOUNT)
        await it.get(UUID)
        it.clock.now += 809
        await it.get(UUID)
        it.clock.now += 2
        await it.get(UUID)
        assert it.script.lines().count("POST /v2/oauth") == 2


class TestTheToken:
    TOKEN: ClassVar = {"access_token": "first", "expires_in": 900, "status": "approved"}

    async def test_it_is_fetched_anew_at_the_very_end_of_its_time(self) -> None:
        it = make_harness(
            respond(200, self.TOKEN), CREATED, respond(200, self.TOKEN), CREATED, account=Monri("k", "t", auth="oauth")
        )
        await it.get(UUID)
        it.clock.now += 810
        await it.get(UUID)
        assert it.script.lines().count("POST /v2/oauth") == 2

    async def test_only_the_refused_one_is_forgotten(self) -> None:
        it = make_harness(respond(200, self.TOKEN), CREATED, CREATED, account=Monri("k", "t", auth="oauth"))
        await it.get(UUID)
        bearer: Any = it.account_context.access_tokens
        bearer.drop(Secret("an older one"))
        await it.get(UUID)
        assert it.script.lines().count("POST /v2/oauth") == 1
        bearer.drop(Secret("first"))
        bearer.drop(Secret("first"))
        assert bearer._token is None
