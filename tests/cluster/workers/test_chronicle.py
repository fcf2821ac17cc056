"""What is noted of the groups of a living run, and what they are asked to save for."""

from cluster.workers.chronicle import Chronicle, Seat


def training(chronicle: Chronicle, resumed: int, seen: int) -> None:
    chronicle.launched(2)
    chronicle.resumed(resumed)
    chronicle.trained({"images_seen": seen, "steps_seconds": 1.5})


def test_groups_follow_one_another() -> None:
    chronicle = Chronicle(first_number=3)
    training(chronicle, 0, 96)
    chronicle.committed(80)
    assert chronicle.ended("hang", "rank 1").progressed
    chronicle.ended("failure", "what follows from the first reason")
    chronicle.launched(1)
    chronicle.withdrawn()  # there was no room
    chronicle.launched(1)
    assert chronicle.resumed(80).lost_images == 16
    assert chronicle.resumed(80).restarts == {"hang": 1}
    assert [(r.number, r.world_size, r.reason) for r in chronicle.records] == [
        (3, 2, "hang"),
        (4, 1, None),
    ]
    assert chronicle.restarts == 1


def test_going_back_counts_as_a_group_of_its_own_with_the_same_workers() -> None:
    chronicle = Chronicle()
    training(chronicle, 0, 96)
    chronicle.seats[0] = Seat(0, "node", "log")
    chronicle.went_back(112, 80)
    before, now = chronicle.records
    assert (before.reason, before.images_seen, now.resumed_from) == ("divergence", 112, 80)
    assert chronicle.seats[0].node_id == "node"
    assert chronicle.resumed(80).lost_images == 32


def test_a_stop_overrules_and_is_not_forgotten() -> None:
    chronicle = Chronicle()
    training(chronicle, 0, 16)
    assert chronicle.ask("preemption", "rank 1 got SIGTERM")
    assert not chronicle.ask("preemption", "again")
    assert not chronicle.ask("resize", "room for 4")  # nor by what follows
    assert chronicle.purpose_detail == "rank 1 got SIGTERM"
    assert chronicle.ask("stop", "")
    assert not chronicle.ask("resize", "room for 4")
    chronicle.ended("preemption", "")
    chronicle.launched(2)
    assert chronicle.purpose == "stop"


def test_what_one_group_was_asked_is_nothing_to_the_next() -> None:
    chronicle = Chronicle()
    training(chronicle, 0, 16)
    chronicle.ask("resize", "room for 4")
    chronicle.ended("resize", "")
    chronicle.launched(4)
    assert chronicle.purpose is None
