"""A Ray cluster of two nodes on this computer; orders come by standard input, a line each."""

import sys

from ray.cluster_utils import Cluster

SMALL = {
    "num_cpus": 1,
    "object_store_memory": 80 * 2**20,
    "node_ip_address": "127.0.0.1",
    "include_dashboard": False,
    "dashboard_host": "127.0.0.1",
}


def main() -> None:
    cluster = Cluster(initialize_head=True, head_node_args=SMALL)
    try:
        second = cluster.add_node(**SMALL)
        sys.stdout.write(f"{cluster.address}\n")
        sys.stdout.flush()
        for line in sys.stdin:
            if line.strip() == "remove":
                cluster.remove_node(second)
            else:
                second = cluster.add_node(**SMALL)
            sys.stdout.write("done\n")
            sys.stdout.flush()
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    main()
