"""What goes when a replica holds too much: the least recently used, and never what a request needs."""

from heliostat.serving.shelf import Load, Shelf, ShelfLimits


def shelf(max_models=3, max_bytes=1000.0):
    return Shelf(ShelfLimits(max_models=max_models, max_bytes=max_bytes))


def hold(held, *names, num_models=1, num_bytes=10):
    for name in names:
        held.put(name, Load(num_models=num_models, num_bytes=num_bytes))


def drop_surplus(held):
    gone = held.surplus()
    for name in gone:
        held.drop(name)
    return gone


def test_within_its_limits_nothing_goes():
    held = shelf()
    hold(held, "a", "b", "c")
    assert held.surplus() == []


def test_the_least_recently_used_goes_first():
    held = shelf()
    hold(held, "a", "b", "c")
    with held.lent("a"):
        pass
    hold(held, "d")
    assert drop_surplus(held) == ["b"]
    assert (held.num_models, held.num_bytes, held.num_drops) == (3, 30, 1)


def test_what_a_request_needs_stays_and_the_next_goes_in_its_place():
    held = shelf()
    hold(held, "a", "b", "c")
    with held.lent("b"), held.lent("a"):
        hold(held, "d")
        assert held.surplus() == ["c"]


def test_a_workload_is_lent_until_the_last_of_its_requests_ended():
    held = shelf(max_models=1)
    hold(held, "a")
    with held.lent("a"):
        with held.lent("a"):
            pass
        hold(held, "b")
        assert held.surplus() == []
    assert held.surplus() == ["a"]


def test_bytes_count_as_versions_do():
    held = shelf(max_models=100, max_bytes=25)
    hold(held, "a", "b", "c")
    assert drop_surplus(held) == ["a"]


def test_a_workload_larger_than_the_limit_still_answers():
    held = shelf(max_models=2)
    hold(held, "a", num_models=5)
    assert held.surplus() == []
    hold(held, "b")
    assert drop_surplus(held) == ["a"]


def test_a_workload_that_is_put_again_counts_once():
    held = shelf()
    hold(held, "a", "b")
    hold(held, "a", num_models=2, num_bytes=30)
    assert (held.num_models, held.num_bytes) == (3, 40)
    hold(held, "c")
    assert held.surplus() == ["b"]


def test_one_without_versions_is_not_held():
    held = shelf()
    hold(held, "a")
    held.put("a", Load(num_models=0, num_bytes=0))
    held.drop("a")
    assert (held.num_models, held.num_drops, held.status()["num_workloads"]) == (0, 0, 0)
