"""What may become of a long answer: decided without a clock, stored so that of two changes one is refused."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from heliostat import answer_jobs
from heliostat.answer_jobs import MAX_ATTEMPTS, AnswerJob
from heliostat.errors import CatalogError, NotFoundError
from heliostat.store.catalog import Catalog

AT = datetime(2024, 3, 1, 10, tzinfo=UTC)
KEEP = timedelta(days=7)


def a_job(**fields):
    fixed = {"workload": "toy", "by": "caller-key", "digest": "d", "folder": "/tmp/x", "media_type": "application/json"}
    at = {"created_at": AT, "expires_at": AT + KEEP}
    return AnswerJob(**{"job_id": "j-1", "input_uri": None, "callback_url": None, **fixed, **at, **fields})


def test_an_attempt_after_a_lost_one_answers_with_the_same_version():
    first = answer_jobs.claimed(a_job(), version=3, at=AT)
    again = answer_jobs.lost(answer_jobs.progressed(first, 500), why="killed", at=AT, keep=KEEP)
    assert (again.status, again.num_done) == ("queued", 0)
    second = answer_jobs.claimed(again, version=4, at=AT)
    assert (second.version, second.attempt) == (3, 2)


def test_a_job_that_kills_every_worker_fails_with_the_reason():
    job = a_job()
    for _ in range(MAX_ATTEMPTS):
        job = answer_jobs.lost(answer_jobs.claimed(job, version=1, at=AT), why="out of memory", at=AT, keep=KEEP)
    assert job.status == "failed"
    assert "out of memory" in job.error
    assert not job.needs_care


def test_the_next_attempt_waits_longer_each_time():
    job, waits = a_job(), []
    for _ in range(MAX_ATTEMPTS - 1):
        job = answer_jobs.lost(answer_jobs.claimed(job, version=1, at=AT), why="killed", at=AT, keep=KEEP)
        waits.append((job.not_before - AT).total_seconds())
        assert not job.may_start(AT)
        assert job.may_start(job.not_before)
    assert waits == sorted(waits)
    assert waits[0] > 0
    assert answer_jobs.claimed(job, version=1, at=AT).not_before is None


def test_what_ended_stays_as_it_is_when_cancelled():
    done = answer_jobs.done(a_job(status="running"), num_rows=3, num_rejected=1, at=AT, keep=KEEP)
    assert answer_jobs.cancelled(done, at=AT, keep=KEEP) is done
    waiting = answer_jobs.cancelled(a_job(callback_url="https://x/"), at=AT, keep=KEEP)
    assert (waiting.status, waiting.callback, waiting.needs_care) == ("cancelled", None, False)


def test_a_result_is_kept_from_its_end_on():
    later = AT + timedelta(days=30)
    assert answer_jobs.done(a_job(), num_rows=1, num_rejected=0, at=later, keep=KEEP).expires_at == later + KEEP


def test_a_callback_is_tried_again_after_each_wait_and_then_given_up():
    job = answer_jobs.done(a_job(callback_url="https://x/"), num_rows=1, num_rejected=0, at=AT, keep=KEEP)
    assert (job.callback, job.callback_at, job.needs_care) == ("pending", AT, True)
    once = answer_jobs.called_back(job, "it answered 500", at=AT, waits_s=(5, 60))
    assert (once.callback, once.callback_at) == ("pending", AT + timedelta(seconds=5))
    twice = answer_jobs.called_back(once, "it answered 500", at=AT, waits_s=(5, 60))
    assert twice.callback_at == AT + timedelta(seconds=60)
    assert answer_jobs.called_back(twice, None, at=AT, waits_s=(5, 60)).callback == "delivered"
    over = answer_jobs.called_back(twice, "it answered 500", at=AT, waits_s=(5, 60))
    assert (over.callback, over.callback_tries, over.needs_care) == ("given up", 3, False)


def test_every_change_has_a_revision_of_its_own():
    job = a_job()
    changes = [answer_jobs.claimed(job, version=1, at=AT), answer_jobs.cancelled(job, at=AT, keep=KEEP)]
    assert [each.revision for each in changes] == [2, 2]


def test_a_job_survives_json():
    job = answer_jobs.done(a_job(callback_url="https://x/"), num_rows=1, num_rejected=0, at=AT, keep=KEEP)
    assert AnswerJob.from_json(job.to_json()) == job


@pytest.fixture
def catalog(tmp_path):
    made = Catalog(f"sqlite:///{tmp_path / 'catalog.sqlite'}")
    made.create()
    return made


def test_the_same_request_twice_is_one_job_and_another_body_is_refused(catalog):
    catalog.add_answer_job(a_job(), by="x", at=AT)
    running = answer_jobs.claimed(a_job(), version=1, at=AT)
    assert catalog.change_answer_job(running, by="x", at=AT)
    assert catalog.add_answer_job(a_job(), by="x", at=AT) == running
    with pytest.raises(CatalogError, match="another body"):
        catalog.add_answer_job(a_job(digest="other"), by="x", at=AT)


def test_of_two_changes_of_one_job_the_second_is_refused(catalog):
    catalog.add_answer_job(a_job(), by="x", at=AT)
    claimed, cancelled = (
        answer_jobs.claimed(a_job(), version=1, at=AT),
        answer_jobs.cancelled(a_job(), at=AT, keep=KEEP),
    )
    assert catalog.change_answer_job(cancelled, by="x", at=AT, kind="answer_job_cancelled")
    assert not catalog.change_answer_job(claimed, by="y", at=AT)
    assert catalog.change_answer_job(cancelled, by="x", at=AT)  # a call that was lost is repeated
    assert catalog.answer_job("toy", "j-1").status == "cancelled"
    assert [entry.kind for entry in catalog.entries("toy")] == ["answer_job_added", "answer_job_cancelled"]


def test_only_what_is_open_due_or_expired_is_to_do(catalog):
    done = replace(a_job(job_id="done"), status="done")
    told = replace(done, job_id="told", callback="pending")
    for job in (a_job(), done, told):
        catalog.add_answer_job(job, by="x", at=AT)
    assert {job.job_id for job in catalog.answer_jobs_to_do("toy", at=AT)} == {"j-1", "told"}
    assert len(catalog.answer_jobs_to_do("toy", at=AT + KEEP)) == 3
    assert catalog.num_open_answer_jobs("toy") == 1
    catalog.remove_answer_job("toy", "done", by="x", at=AT)
    with pytest.raises(NotFoundError):
        catalog.answer_job("toy", "done")


def test_a_callers_list_has_the_callers_jobs(catalog):
    catalog.add_answer_job(a_job(), by="x", at=AT)
    catalog.add_answer_job(a_job(job_id="other", by="somebody"), by="x", at=AT)
    assert [job.job_id for job in catalog.answer_jobs("toy", by="somebody")] == ["other"]
    assert len(catalog.answer_jobs("toy")) == 2


def test_a_secret_is_replaced_and_never_journalled(catalog):
    for secret in ("whsec_one", "whsec_two"):
        catalog.put_webhook_secret("toy", "caller-key", secret, by="x", at=AT)
    assert catalog.webhook_secret("toy", "caller-key") == "whsec_two"
    assert catalog.webhook_secret("toy", "another") is None
    assert "whsec" not in str([entry.payload for entry in catalog.entries("toy")])
