import pytest

from heliostat.errors import AccessError
from heliostat.records import KeyRecord, key_hash
from heliostat.serving.authentication import Keyring
from heliostat.serving.problem import ForbiddenError

TOY, OTHER, ANY = "hel_toy_s1", "hel_other_s2", "hel_any_s3"


def record(plaintext, workload):
    identifier = plaintext.split("_")[1]
    return KeyRecord(
        key_id=identifier, hash=key_hash(plaintext), role="caller", name=f"{identifier} key", workload=workload
    )


KEYRING = Keyring.of("toy", [record(TOY, "toy"), record(OTHER, "another"), record(ANY, None)])


@pytest.mark.parametrize("plaintext", [TOY, ANY])
def test_a_key_of_the_workload_or_of_all_is_known(plaintext):
    assert KEYRING.caller(f"Bearer {plaintext}").key_id == plaintext.split("_")[1]


def test_the_scheme_may_be_written_in_any_case():
    assert KEYRING.caller(f"bearer {TOY}").name == "toy key"


def test_a_key_of_another_workload_is_forbidden():
    with pytest.raises(ForbiddenError, match="'another'"):
        KEYRING.caller(f"Bearer {OTHER}")


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        TOY,
        "Bearer",
        "Bearer ",
        f"Basic {TOY}",
        "Bearer hel_toy_wrong",
        "Bearer hel_none_s1",
        "Bearer hel_toy",
        "Bearer hel_toy_s1_x",
        "Bearer xxx_toy_s1",
        "Bearer é",
    ],
)
def test_anything_else_is_no_key(header):
    with pytest.raises(AccessError) as caught:
        KEYRING.caller(header)
    assert not isinstance(caught.value, ForbiddenError)


def test_a_wrong_secret_and_an_unknown_id_are_told_alike():
    messages = set()
    for header in ("Bearer hel_toy_wrong", "Bearer hel_none_s1"):
        with pytest.raises(AccessError) as caught:
            KEYRING.caller(header)
        messages.add(str(caught.value))
    assert len(messages) == 1


def test_no_message_repeats_the_secret():
    for header in ("Bearer hel_toy_hunter2", "Basic hunter2", f"Bearer {OTHER}"):
        with pytest.raises(AccessError) as caught:
            KEYRING.caller(header)
        assert "hunter2" not in str(caught.value)
        assert "s2" not in str(caught.value)
