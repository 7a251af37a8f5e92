"""Folders of millions of pictures: `iln restore --cluster`, by Ray Data (the extra `cluster`)."""

from iln.deploy.cluster.isolation import Work
from iln.deploy.cluster.running import restore_on_cluster

__all__ = ["Work", "restore_on_cluster"]
