"""Settings: one home, one base port, nothing else."""

from dataclasses import fields
from pathlib import Path

import pytest

from heliostat.errors import SettingsError
from heliostat.settings import DEFAULT_BASE_PORT, HIGHEST_BASE_PORT, PORT_BLOCK, Ports, Settings

HOME = Path("/somewhere/heliostat")


def every_port(ports: Ports) -> list[int]:
    names = [name for name, value in vars(Ports).items() if isinstance(value, property)]
    values = [getattr(ports, name) for name in names]
    return [port for one in values for port in (range(one[0], one[1] + 1) if isinstance(one, tuple) else [one])]


def test_no_port_is_given_twice_and_all_lie_in_the_block():
    ports = every_port(Ports(base=20_000))
    assert len(ports) == len(set(ports))
    assert min(ports) >= 20_000
    assert max(ports) < 20_000 + PORT_BLOCK


def test_two_installations_a_block_apart_share_no_port():
    first, second = every_port(Ports(base=20_000)), every_port(Ports(base=20_000 + PORT_BLOCK))
    assert not set(first) & set(second)


def test_the_highest_block_ends_below_the_ports_that_linux_hands_out():
    assert max(every_port(Ports(base=HIGHEST_BASE_PORT))) < 32_768


def test_an_empty_environment_gives_the_defaults():
    settings = Settings.from_env({})
    assert settings.base_port == DEFAULT_BASE_PORT
    assert settings.home == Path.home() / ".heliostat"


def test_home_and_port_come_from_the_environment():
    settings = Settings.from_env({"HELIOSTAT_HOME": str(HOME), "HELIOSTAT_BASE_PORT": "21000"})
    assert settings == Settings(home=HOME, base_port=21_000)
    assert settings.http_url == "http://127.0.0.1:21000"


def test_a_tilde_means_the_home_of_the_user():
    assert Settings.from_env({"HELIOSTAT_HOME": "~/x"}).home == Path.home() / "x"


@pytest.mark.parametrize("port", ["", "http", "-1", "18000.5", "1023", "31001", "99999"])
def test_a_port_that_cannot_be_used_is_refused_with_its_name(port):
    with pytest.raises(SettingsError, match="HELIOSTAT_BASE_PORT"):
        Settings.from_env({"HELIOSTAT_BASE_PORT": port})


@pytest.mark.parametrize("home", ["", "here", "./here"])
def test_a_home_that_depends_on_where_one_stands_is_refused(home):
    with pytest.raises(SettingsError, match="absolute"):
        Settings.from_env({"HELIOSTAT_HOME": home})


def test_every_path_lies_below_home_but_the_short_one_for_sockets():
    settings = Settings(home=HOME)
    names = [name for name, value in vars(Settings).items() if isinstance(value, property)]
    paths = {name: getattr(settings, name) for name in names if isinstance(getattr(settings, name), Path)}
    outside = {name for name, path in paths.items() if not path.is_relative_to(HOME)}
    assert outside == {"ray_temp_dir"}
    assert len(str(settings.ray_temp_dir)) < 50
    assert len(set(paths.values())) == len(paths)


def test_installations_with_different_ports_have_different_ray_folders():
    first, second = Settings(home=HOME, base_port=18_000), Settings(home=HOME, base_port=19_000)
    assert first.ray_temp_dir != second.ray_temp_dir


def test_settings_are_two_facts():
    assert [one.name for one in fields(Settings)] == ["home", "base_port"]
