"""Workers whose numbers differ still do the same: the first one's count."""

import json

from tests.training.ranks import exit_codes

MODULE = "tests.training.differing_rank"


def found_by(folder, how):
    assert exit_codes(MODULE, folder, 2, how, timeout_s=90) == [0, 0]
    return [json.loads((folder / f"{how}-{rank}.json").read_text()) for rank in range(2)]


def test_a_fit_is_ended_and_its_best_epoch_kept_by_the_losses_of_the_first_worker(tmp_path):
    first, second = found_by(tmp_path, "fits")
    assert first == second
    assert (first["epochs"], first["best"]) == (4, 3)


def test_the_candidate_that_the_first_worker_finds_best_is_fitted_again_by_all(tmp_path):
    assert found_by(tmp_path, "chooses") == [{"winner": "first"}] * 2
