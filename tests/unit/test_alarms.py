"""The monitor's own false alarms and delay, from what turns found."""

from heliostat.watch.alarms import alarms, measured_alarms

DAY_S = 86_400.0


def turn(changed, detected, gain):
    return {"changed_at": changed and f"2024-03-{changed:02}T00:00:00+00:00", "gain": gain, "outcome": "held"} | {
        "detected_at": f"2024-03-{detected:02}T00:00:00+00:00"
    }


def test_the_turns_of_one_change_are_one_alarm_that_any_of_them_can_confirm():
    found = alarms([turn(1, 3, None), turn(1, 9, 0.02), turn(11, 12, -0.01), turn(None, 20, 0.5)])
    assert (found.num_told, found.num_confirmed) == (2, 1)
    assert found.delays_s == (2 * DAY_S, DAY_S)


def test_a_change_that_no_candidate_gained_from_is_told_as_unconfirmed():
    told = {one.name: one.value for one in measured_alarms([turn(1, 3, 0.0), turn(11, 15, 0.1)])}
    assert told == {"alarms_told": 2, "alarms_unconfirmed": 1, "alarm_delay_seconds": 3 * DAY_S}


def test_before_the_first_alarm_nothing_is_told():
    assert measured_alarms([]) == measured_alarms([turn(None, 3, 0.1)]) == []
