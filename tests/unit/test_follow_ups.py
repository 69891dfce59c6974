from heliostat.govern.follow_ups import FollowUps


def test_follow_ups_come_at_growing_distances_after_a_change():
    first = FollowUps().started().turned(100, is_moving=True)
    assert first.due(399) is None
    assert first.due(400) == "400 labelled rows since the change, 100 at the last turn"
    second = first.asked()
    assert second.due(500) is None
    third = second.turned(410, is_moving=False)
    assert third.due(1639) is None
    assert third.due(1640) is not None


def test_while_turns_win_much_the_distance_stays():
    found = FollowUps().started().turned(100, is_moving=True).turned(300, is_moving=True)
    assert found.due(499) is None
    assert found.due(500) is not None


def test_without_a_change_there_are_no_follow_ups():
    assert FollowUps().turned(100, is_moving=True).due(10**9) is None


def test_follow_ups_survive_storage():
    found = FollowUps().started().turned(100, is_moving=True)
    assert FollowUps.from_json(found.to_json()) == found
