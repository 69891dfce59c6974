"""Where the processes of a run ended by themselves, and how long its attempts took together."""

import pytest

from heliostat.learn.attempts import Attempt, last_places, used_s

ENCODE, LOSS = "encode, after step 3", "loss, after step 3"


def attempts(*places, rank=0):
    return [Attempt(began_ns=number, rank=rank, used_s=2.0, place=place) for number, place in enumerate(places)]


@pytest.mark.parametrize(
    ("places", "said"),
    [
        ([ENCODE, ENCODE, ENCODE], (3, ENCODE)),
        ([LOSS, ENCODE, ENCODE], (2, ENCODE)),
        ([ENCODE, LOSS], (1, LOSS)),
        ([ENCODE, "", ENCODE], (1, ENCODE)),
        ([ENCODE, ENCODE, ""], None),
        ([], None),
    ],
)
def test_the_last_attempts_that_ended_at_one_place_are_counted(places, said):
    assert last_places(list(reversed(attempts(*places))), rank=0) == said


def test_each_worker_is_looked_at_by_itself():
    both = attempts(LOSS, ENCODE) + attempts(ENCODE, ENCODE, rank=1)
    assert last_places(both, rank=0) == (1, ENCODE)
    assert last_places(both, rank=1) == (2, ENCODE)


def test_the_time_of_a_run_is_that_of_its_first_worker_over_all_attempts():
    assert used_s(attempts(ENCODE, "", LOSS) + attempts(ENCODE, rank=1)) == 6.0
