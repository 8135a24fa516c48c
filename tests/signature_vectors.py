"""Signatures that the library and the simulators, which share no code for them, must reproduce."""

ROOT = "/svc/payment/api/v1/openapi"
WONDER_VECTORS = [
    ("GET", f"{ROOT}/customers/ref/35", b"", "6363928338c3dab113d006cba2b4c81e949d2776ca679b65f305123e69a09463"),
    (
        "GET",
        f"{ROOT}/customers?limit=20&offset=0",
        b"",
        "a590cae36407a42ac82b510f8f650d52aebe5ce3771773b3b90409b7721b715c",
    ),
    (
        "POST",
        f"{ROOT}/echo",
        b'{"message":"Hello,Wonder!"}',
        "99720de580af351982c66f02520fc16cdccf5599e6c96f9f6f7e49634187fcee",
    ),
]
"""Method, target and body of a request, and the message that is signed."""

MONRI_KEY, MONRI_TOKEN, MONRI_TIME = "qwert1234", "7db11ea5d4a1af32421b564c79b946d1ead3daf0", "1593457122"
MONRI_PATH, MONRI_BODY = "/v2/payment/new", b'{"example":"1"}'
MONRI_DIGEST = (
    "bd120476c656a8ec3ce5d6a150f17061d03a8e280b0fbba278a73a1506683056"
    "2f73ce5536882c9222e265f1ff6c2df629173375b549cba5a9275b08686f32ea"
)
"""The digest that Monri has published."""
