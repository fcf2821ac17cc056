"""How long a training takes to start is said phase by phase, once for each worker group."""

from dataclasses import replace

from cluster.phases import Phases
from cluster.processes import own_age_s
from cluster.run_folder.group_history import GroupRecord, as_json
from cluster.workers.live_groups import LiveGroups
from launch.starting import StartReport

NEW = GroupRecord(number=3, launched=0.0, world_size=2)
TRAINS = replace(NEW, starting={"placement": 1.0, "worker imports": 2.25, "first step": 0.01})


def test_phases_add_up_to_the_time_since_the_process_began() -> None:
    phases = Phases(before=own_age_s())
    for name in ("imports", "Ray", "imports"):
        phases.end(name)
    assert list(phases.seconds) == ["imports", "Ray"]
    assert 0 < sum(phases.seconds.values()) <= own_age_s() + 0.02  # a tick of its clock


def test_every_group_that_trains_gets_one_line() -> None:
    report = StartReport()
    report.end("preflight")
    assert report.lines([]) == report.lines([NEW]) == []
    first = "first step after 3.3 s (placement 1.0, worker imports 2.2)"  # without short phases
    assert report.lines([TRAINS]) == [first]
    failed = replace(NEW, reason="failure")  # before its first step
    again = "first step 3.3 s after the restart (placement 1.0, worker imports 2.2)"
    assert report.lines([TRAINS, failed, NEW]) == []
    assert report.lines([TRAINS, failed, TRAINS]) == [again]
    assert report.lines([TRAINS, failed, TRAINS]) == []


def test_what_passed_before_a_workers_process_began_is_its_placement() -> None:
    groups = LiveGroups()
    groups.launched(1)
    groups.records[-1] = replace(groups.records[-1], launched=groups.records[-1].launched - 10)
    groups.started({"worker imports": 4.0, "first step": 1.0})
    (record,) = groups.records
    assert record.starting is not None
    assert list(record.starting) == ["placement", "worker imports", "first step"]
    assert 5 <= record.starting["placement"] < 6
    assert GroupRecord.from_json(as_json(record)) == record
