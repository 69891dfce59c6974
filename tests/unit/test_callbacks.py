"""Who may be told of the end of a job, and how the receiver knows that we said it."""

import base64
import hashlib
import hmac

import pytest

from heliostat import LongAnswers
from heliostat.errors import ContractError, WorkloadError
from heliostat.serving.callbacks import refuse_address, secret_of, signed_headers

PREFIXES = ("https://hooks.example.com/in/", "http://10.0.0.5:8080")


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example.com/in/a?b=c",
        "https://HOOKS.example.com:443/in/a",
        "https://hooks.example.com/in",
        "http://10.0.0.5:8080/anything",
    ],
)
def test_an_address_below_a_declared_one_is_allowed(url):
    refuse_address(url, PREFIXES, what="The callback", any_query=True)


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.com/in/a",
        "https://hooks.example.com/inside",
        "https://hooks.example.com/in/../admin",
        "https://hooks.example.com/in/%2e%2e/admin",
        "https://hooks.example.com/in/%252e%252e/admin",
        "https://hooks.example.com/in//evil",
        "https://hooks.example.com/in\\..\\admin",
        "https://hooks.example.com@evil.example/in/",
        "https://user:word@hooks.example.com/in/",
        "https://hooks.example.com.evil.example/in/",
        "https://evil.example/#https://hooks.example.com/in/",
        "https://hooks.example.com:8443/in/",
        "https://hooks.example.com/in/ a",
        "https://hooks.example.com/in/\r\nHost: evil",
        "http://10.0.0.5:8080@169.254.169.254/",
        "http://[::1/in",
        "http://10.0.0.5:port/",
        "file:///etc/passwd",
        "//hooks.example.com/in/",
        "",
    ],
)
def test_any_other_is_refused(url):
    with pytest.raises(ContractError, match="must lie below"):
        refuse_address(url, PREFIXES, what="The callback", any_query=True)


def test_paths_and_stores_are_compared_the_same_way():
    refuse_address("/data/asked/today.parquet", ["/data/asked"], what="The input", any_query=False)
    refuse_address("s3://bucket/asked/a", ["s3://bucket/asked/"], what="The input", any_query=False)
    minio = "s3://bucket/asked/?endpoint_override=localhost:9000"
    refuse_address("s3://bucket/asked/a?endpoint_override=localhost:9000", [minio], what="The input", any_query=False)
    elsewhere = "s3://bucket/asked/a?endpoint_override=evil.example"
    for uri in (elsewhere, "/data/asked-not/x", "/data/asked/../keys", "s3://other/asked/a", "asked/x"):
        with pytest.raises(ContractError):
            refuse_address(uri, ["/data/asked", "s3://bucket/asked/"], what="The input", any_query=False)


def test_nothing_declared_allows_nothing():
    with pytest.raises(ContractError, match="declares none"):
        refuse_address("https://hooks.example.com/", [], what="The callback", any_query=True)


def test_a_receiver_checks_the_signature_in_five_lines():
    secret, body = secret_of(bytes(range(32))), b'{"type": "job.done"}'
    headers = signed_headers(secret, body, message_id="j-1", timestamp_s=1_700_000_000)

    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert hmac.compare_digest(expected, headers["webhook-signature"])


def test_the_signature_is_that_of_the_standard():
    # The example of the Standard Webhooks specification's reference libraries.
    headers = signed_headers(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        b'{"test": 2432232314}',
        message_id="msg_p5jXN8AQM9LWM0D4loKWxJek",
        timestamp_s=1_614_265_330,
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("secret_or_body", ["secret", "body", "id", "time"])
def test_any_other_content_has_another_signature(secret_or_body):
    given = {"secret": secret_of(bytes(32)), "body": b"{}", "message_id": "a", "timestamp_s": 1}
    other = {"secret": ("secret", secret_of(bytes(31) + b"1")), "body": ("body", b"{} ")}
    other |= {"id": ("message_id", "b"), "time": ("timestamp_s", 2)}
    name, value = other[secret_or_body]
    made = [
        signed_headers(args.pop("secret"), args.pop("body"), **args)["webhook-signature"]
        for args in ({**given}, {**given, name: value})
    ]
    assert made[0] != made[1]


@pytest.mark.parametrize(
    "options",
    [
        {"max_rows": 0},
        {"callback_prefixes": ("hooks.example.com",)},
        {"input_prefixes": ("data/asked",)},
        {"callback_waits_s": (-1.0,)},
    ],
)
def test_a_declaration_that_cannot_work_is_refused(options):
    with pytest.raises(WorkloadError):
        LongAnswers(**options)
