"""The charts of training curves on the result page, and their text."""

from collections.abc import Sequence

from ganinv.declarations import Plot
from ganinv.training.statistics import SCHEDULE, SPEED
from launch.pages.curves import CurveGroup, Rows, drawable, drawn_keys

SPEED_GROUP = CurveGroup(
    title="Speed",
    unit="images per second",
    series={SPEED: ""},
    caption="Images trained per second over all workers. Dips are checkpoints, evaluations "
    "or restarts.",
    from_zero=True,
)


def training_groups(rows: Rows, plots: Sequence[Plot]) -> list[CurveGroup]:
    """The groups with a curve to draw: the method's, speed, further losses, scheduled options.

    `plots`: the charts that the run's method declares.
    """
    groups = [
        CurveGroup(
            title=plot.title, series=plot.series, caption=plot.caption, from_zero=plot.from_zero
        )
        for plot in plots
    ]
    known = {key for group in groups for key in group.series}
    further = (
        CurveGroup(
            title=key,
            series={key: ""},
            caption="Further loss of this run, under its name in metrics.jsonl.",
        )
        for key in sorted(drawn_keys(rows, "loss/") - known)
    )
    scheduled = (
        CurveGroup(
            title=key.removeprefix(SCHEDULE),
            series={key: ""},
            caption="An option of this run that is a schedule of the images seen.",
        )
        for key in sorted(drawn_keys(rows, SCHEDULE))
    )
    return [*drawable([*groups, SPEED_GROUP], rows), *further, *scheduled]
