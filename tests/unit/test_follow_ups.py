from heliostat.govern.follow_ups import FollowUps


def test_follow_ups_come_at_growing_distances_after_a_change():
    first = FollowUps().started().turned(100, is_moving=True)
    assert first.due(299) is None
    assert first.due(300) == "300 labelled rows since the change, 100 at the last turn"
    second = first.asked()
    assert second.due(400) is None
    third = second.turned(310, is_moving=False)
    assert third.due(929) is None
    assert third.due(930) is not None


def test_while_turns_win_much_the_distance_stays():
    found = FollowUps().started().turned(100, is_moving=True).turned(300, is_moving=True)
    assert found.due(499) is None
    assert found.due(500) is not None


def test_without_a_change_there_are_no_follow_ups():
    assert FollowUps().turned(100, is_moving=True).due(10**9) is None


def test_follow_ups_survive_storage():
    found = FollowUps().started().turned(100, is_moving=True)
    assert FollowUps.from_json(found.to_json()) == found
