"""The collector over real sockets: what it keeps and counts."""

from memwatch.top.collector import Collector
from messages import frames, message
from stream_sockets import drain, fetch, meet, wait_for_message, zmq
from support import wait_for


def test_newest_sample_is_kept_and_none_is_lost(collector, publisher):
    for size in range(1000):
        publisher.send(rss_bytes=size)
    process = wait_for_message(collector, publisher.number)
    assert (process.rss_bytes, process.lost) == (999, 0)
    assert collector.lost == collector.refused == 0
    assert process.received <= publisher.number


def test_gap_in_the_numbers_counts_as_lost(collector, publisher):
    publisher.number += 5
    publisher.send()
    assert wait_for_message(collector, publisher.number).lost == 5
    publisher.send()
    assert wait_for_message(collector, publisher.number).lost == 5


def test_starts_and_ends_of_cells_survive_newer_samples(collector, publisher):
    publisher.send("open", cell={"label": "In [7]"})
    publisher.send("close", cell={"label": "In [7]"}, report={"status": "error"})
    for _ in range(100):
        publisher.send(cell=None)
    process = wait_for_message(collector, publisher.number)
    assert (process.cell.label, process.cell.status) == ("In [7]", "error")
    assert not process.is_running
    assert collector.skipped_messages == 0


def test_waiting_messages_are_bounded(collector, publisher):
    for _ in range(200):
        publisher.send("open")
        publisher.send("close")
    process = wait_for_message(collector, publisher.number)
    # All were counted, not all were decoded.
    assert process.lost == 0
    assert collector.skipped_messages > 0


def test_restarted_kernel_is_another_process(collector, publisher):
    publisher.number = 1000
    publisher.send()
    assert wait_for_message(collector, publisher.number).lost > 0
    publisher.number = 0
    publisher.send(pid=124)
    process = wait_for_message(collector, publisher.number)
    assert (process.pid, process.lost, process.received) == (124, 0, 1)
    # The one before it said no goodbye.
    _, dead = collector.processes()
    assert (dead.pid, dead.died, dead.kernel_id) == (123, True, process.kernel_id)
    collector.forget(dead)
    assert collector.processes() == [process]


def test_restart_between_refreshes_loses_nothing(collector, publisher):
    publisher.number = 1000
    publisher.send()
    wait_for_message(collector, publisher.number)
    # All of this waits for the next refresh; of the samples only the newest.
    publisher.send("bye", cell=None)
    publisher.number = 0
    publisher.send(pid=124)
    publisher.send("open", pid=124)
    for _ in range(50):
        publisher.send(pid=124)
    fetch(collector, 53)
    process = wait_for_message(collector, publisher.number)
    assert (process.pid, process.lost, process.received) == (124, 0, 52)
    assert collector.processes() == [process]  # the one before it ended cleanly
    publisher.number += 3
    publisher.send(pid=124)
    process = wait_for_message(collector, publisher.number)
    assert (process.lost, process.received) == (3, 53)


def test_losses_around_a_restart_between_refreshes(collector, publisher):
    publisher.send()
    wait_for_message(collector, publisher.number)
    publisher.send("bye", cell=None)
    publisher.number = 0
    publisher.send("open", pid=124)
    publisher.number += 100
    publisher.send(pid=124)
    fetch(collector, 3)
    process = wait_for_message(collector, publisher.number)
    # One received message was the old publisher's; which one is unknown.
    assert 99 <= process.lost <= 100


def test_bye_ends_the_process(collector, publisher):
    publisher.send("bye", cell=None)
    process = wait_for_message(collector, publisher.number)
    assert process.state(process.gone_ns) == "gone"
    collector.forget(process)
    assert collector.processes() == []
    meet(collector, publisher)


def test_collector_that_connects(tmp_path):
    context = zmq.Context()
    sockets = [context.socket(zmq.PUB) for _ in range(2)]
    endpoints = [f"ipc://{tmp_path}/{each}.ipc" for each in range(2)]
    for each, endpoint in zip(sockets, endpoints, strict=True):
        each.bind(endpoint)
    collector = Collector(endpoints)

    def both():
        for number, each in enumerate(sockets):
            each.send_multipart(frames(message(kernel_id=f"k{number}")))
        drain(collector)
        return len(collector.processes()) == 2

    try:
        wait_for(both)
        assert collector.endpoint is None
    finally:
        collector.close()
        context.destroy(linger=0)
