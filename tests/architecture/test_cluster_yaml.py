"""`ray-cluster.yaml` is a configuration that Ray accepts."""

import re
from pathlib import Path

import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

PATH = Path(__file__).resolve().parents[2] / "ray-cluster.yaml"


def test_ray_accepts_the_cluster_configuration():
    config = yaml.safe_load(PATH.read_text())
    validate_config(prepare_config(config))


def test_all_nodes_have_the_one_home_that_the_file_says_is_shared():
    text = PATH.read_text()
    [said] = re.findall(r"^# HELIOSTAT_HOME=(\S+) +<a directory that all machines share", text, re.M)
    config = yaml.safe_load(text)
    for command in (*config["head_start_ray_commands"], *config["worker_start_ray_commands"]):
        assert f" HELIOSTAT_HOME={said} " in command


def test_every_node_asks_for_a_token():
    config = yaml.safe_load(PATH.read_text())
    for commands in (config["head_start_ray_commands"], config["worker_start_ray_commands"]):
        assert all("RAY_AUTH_MODE=token" in command for command in commands)
