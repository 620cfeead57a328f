"""What tests of `memwatch run` share: a folder to work in, and a cluster."""

import pytest

from clusters import Cluster


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    """The cluster that tests share, when there is one."""
    clusters = []
    yield clusters
    for each in clusters:
        each.close()


@pytest.fixture
def two_workers(started, tmp_path_factory):
    """A cluster with two workers; what an earlier test killed is started again."""
    if not started or not started[-1].is_alive():
        started.append(Cluster(tmp_path_factory.mktemp("cluster")))
    cluster = started[-1]
    while len(cluster.alive()) < 2:
        cluster.add_worker()
    cluster.wait_for_workers()
    return cluster
