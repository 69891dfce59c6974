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


def test_while_the_world_moves_a_turn_without_a_row_more_is_followed_up_after_one():
    found = FollowUps().started().turned(100, is_moving=True).turned(100, is_moving=True)
    assert (found.due(100), found.due(101) is not None) == (None, True)


def test_what_was_seen_late_is_followed_up_after_a_limit_and_what_was_seen_at_once_after_few_rows():
    late = FollowUps().started().turned(1000, is_moving=False, max_rows=700)
    assert (late.due(1699), late.due(1700) is not None) == (None, True)
    at_once = FollowUps().started().turned(100, is_moving=False, max_rows=700)
    assert (at_once.due(399), at_once.due(400) is not None) == (None, True)


def test_a_limit_holds_while_the_world_moves_and_not_after():
    first = FollowUps().started().turned(1000, is_moving=False, max_rows=700)
    moving = first.turned(3000, is_moving=True, max_rows=700)
    assert (moving.due(3699), moving.due(3700) is not None) == (None, True)
    calm = first.turned(3000, is_moving=False, max_rows=700)
    assert (calm.due(11_999), calm.due(12_000) is not None) == (None, True)


def test_a_turn_that_saw_the_world_move_is_followed_up_after_the_limit():
    found = FollowUps.of_turn(max_rows=700)
    assert (found.due(699), found.due(700) is not None) == (None, True)
    assert found.turned(700, is_moving=True, max_rows=700).due(1400) is not None


def test_without_a_change_there_are_no_follow_ups():
    assert FollowUps().turned(100, is_moving=True).due(10**9) is None


def test_follow_ups_survive_storage():
    found = FollowUps().started().turned(100, is_moving=True)
    assert FollowUps.from_json(found.to_json()) == found
