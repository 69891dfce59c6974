"""A fault in a user's code on real workers: one sentence, no new start where it would come again, nobody hangs."""

import time

import pytest

from tests import toy_faulty


def told(nodes, run_id, module, word):
    """The sentence that a run ends with, how often its workers were started, and how long that took."""
    (nodes.notes_dir / toy_faulty.FILE).write_text(word)
    started_s = time.monotonic()
    try:
        driver = nodes.start(run_id, module)
        assert driver.wait(timeout=280) == 1, nodes.log(run_id)[-4000:]
    finally:
        (nodes.notes_dir / toy_faulty.FILE).unlink()
    [sentence] = [line for line in nodes.log(run_id).splitlines() if line.startswith("error: ")]
    num_starts = len(list((nodes.home / "runs" / run_id / "attempts").glob("*-0")))
    print({"run": run_id, "starts": num_starts, "seconds": round(time.monotonic() - started_s, 1), "said": sentence})
    return sentence.removeprefix("error: "), num_starts


@pytest.mark.ray
def test_a_fault_on_one_of_two_workers_ends_both_at_once_with_its_sentence(nodes):
    nodes.have(2)
    sentence, num_starts = told(nodes, "faulty-encode", "tests.toy_faulty_pair", "encode@1")
    assert sentence.startswith("encode failed with ValueError: the scale ends at 90 on the row with key '2024-")
    assert "(tests/toy_faulty.py, line " in sentence
    assert num_starts == 1


@pytest.mark.ray
@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("exit@1", "encode failed with SystemExit: the scale ends here on the row with key '2024-"),
        ("memory@1", "encode failed with MemoryError: Unable to allocate 9.00 TiB"),
    ],
)
def test_a_worker_that_would_leave_and_one_without_memory_end_both_at_once_too(nodes, word, said):
    nodes.have(2)
    sentence, num_starts = told(nodes, f"faulty-{word[:-2]}", "tests.toy_faulty_pair", word)
    assert sentence.startswith(said)
    assert "(tests/toy_faulty.py, line " in sentence
    assert num_starts == 1


@pytest.mark.ray
def test_a_process_that_ends_by_itself_at_one_place_is_told_with_that_place(nodes):
    nodes.have(2)
    sentence, num_starts = told(nodes, "faulty-end", "tests.toy_faulty", "end")
    place = "6 times in a row in encode (tests/toy_faulty.py, line "
    assert f"was given up after 5 new starts that came no further: its worker's process ended {place}" in sentence
    assert "after step 0 of candidate 'all', without an exception. Look there for os._exit" in sentence
    assert num_starts == 6
