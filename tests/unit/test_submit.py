"""Submitting while the cluster is still coming up."""

import pytest

from cluster.submit import result, submitted
from heliostat.errors import ClusterError


class Dashboard:
    """Ray's `submit_job`, which refuses so often with these words."""

    def __init__(self, num_refusals, words="Request failed with status code 500: No available agent to submit job."):
        self.num_left, self.words = num_refusals, words

    def __call__(self, **job):
        if self.num_left:
            self.num_left -= 1
            raise RuntimeError(self.words)
        return job["submission_id"]


def test_a_cluster_that_knows_of_no_agent_yet_is_asked_again():
    assert submitted(Dashboard(1), submission_id="a") == "a"


def test_one_that_never_hears_of_an_agent_is_told_in_a_sentence():
    with pytest.raises(ClusterError, match="no agent that could start a for 0 s"):
        submitted(Dashboard(9), submission_id="a", timeout_s=0)


def test_another_refusal_is_not_repeated():
    refusing = Dashboard(2, words="the job is wrong")
    with pytest.raises(RuntimeError, match="the job is wrong"):
        submitted(refusing, submission_id="a")
    assert refusing.num_left == 1


def test_a_jobs_result_is_found_although_ray_warns_after_it():
    log = (
        'Running entrypoint for job a: python -m jobs.deploy\n{"url": "first"}\n{"url": "last", "seconds": 1.5}\n'
        "\x1b[33m(raylet)\x1b[0m WARNING: 36 PYTHON worker processes have been started on node: 9c {such}\n{not json}\n"
    )
    assert result(log) == {"url": "last", "seconds": 1.5}


def test_a_log_without_a_result_is_told_in_a_sentence():
    with pytest.raises(ClusterError, match="no result"):
        result("Running entrypoint for job a\n")
