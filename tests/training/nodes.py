"""A cluster of several nodes on this machine, each with processes of its own: started, taken away, added to.

    python -m tests.training.nodes

A process of its own, so that Ray's settings do not reach other tests: told one word a line, it answers one line each.
"""

import json
import sys

from ray.cluster_utils import Cluster

# Any ports that are free: another cluster may have Ray's usual ones.
HEAD = {"num_cpus": 0, "include_dashboard": False, "gcs_server_port": 0, "dashboard_agent_listen_port": None}


def main() -> None:
    cluster = Cluster(initialize_head=True, head_node_args=HEAD)
    nodes = []
    print(json.dumps({"address": cluster.address}), flush=True)
    for line in sys.stdin:
        word = line.strip()
        if word == "add":
            nodes.append(cluster.add_node(num_cpus=1))
        elif word == "lose":  # the oldest
            cluster.remove_node(nodes.pop(0), allow_graceful=False)
        elif word == "stop":
            break
        print(json.dumps({"num_nodes": len(nodes)}), flush=True)
    cluster.shutdown()


if __name__ == "__main__":
    main()
