"""The group records of a live run, and the requests to save and end."""

from cluster.workers.live_groups import LiveGroups, WorkerLocation


def training(groups: LiveGroups, resumed: int, seen: int) -> None:
    groups.launched(2)
    groups.resumed(resumed)
    groups.trained({"images_seen": seen, "steps_seconds": 1.5})


def test_groups_follow_one_another() -> None:
    groups = LiveGroups(first_number=3)
    training(groups, 0, 96)
    groups.committed(80)
    assert groups.ended("hang", "rank 1").progressed
    groups.ended("failure", "a consequence of the first reason")
    groups.launched(1)
    groups.withdrawn()  # the nodes had no room
    groups.launched(1)
    assert groups.resumed(80).lost_images == 16
    assert groups.resumed(80).restarts == {"hang": 1}
    assert [(r.number, r.world_size, r.reason) for r in groups.records] == [
        (3, 2, "hang"),
        (4, 1, None),
    ]
    assert groups.restarts == 1


def test_going_back_starts_a_new_record_with_the_same_workers() -> None:
    groups = LiveGroups()
    training(groups, 0, 96)
    groups.locations[0] = WorkerLocation(0, "node", "log")
    groups.went_back(112, 80)
    before, now = groups.records
    assert (before.reason, before.images_seen, now.resumed_from) == ("divergence", 112, 80)
    assert groups.locations[0].node_id == "node"
    assert groups.resumed(80).lost_images == 32


def test_a_stop_overrides_other_requests_and_survives_a_restart() -> None:
    groups = LiveGroups()
    training(groups, 0, 16)
    assert groups.request_save("preemption", "rank 1 got SIGTERM")
    assert not groups.request_save("preemption", "again")
    assert not groups.request_save("resize", "room for 4")  # the first purpose wins
    assert groups.purpose_detail == "rank 1 got SIGTERM"
    assert groups.request_save("stop", "")
    assert not groups.request_save("resize", "room for 4")
    groups.ended("preemption", "")
    groups.launched(2)
    assert groups.purpose == "stop"


def test_a_request_ends_with_its_group() -> None:
    groups = LiveGroups()
    training(groups, 0, 16)
    groups.request_save("resize", "room for 4")
    groups.ended("resize", "")
    groups.launched(4)
    assert groups.purpose is None
