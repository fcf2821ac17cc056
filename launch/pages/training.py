"""The charts of training curves on the result page, and their text."""

from launch.pages.curves import CurveGroup, Rows, drawable, drawn_keys

GROUPS = (
    CurveGroup(
        title="Losses of the two networks",
        series={"loss/d": "discriminator", "loss/g": "generator"},
        caption="The two networks compete. Look for a lasting balance: if one loss departs for "
        "good, one network has won and neither learns.",
    ),
    CurveGroup(
        title="Scores of the discriminator",
        series={"d/real": "real", "d/fake": "generated"},
        caption="The mean score of real and of generated images. The closer the lines, the "
        "harder the images are to tell apart.",
    ),
    CurveGroup(
        title="Error of the code, L_enc",
        series={"loss/enc": ""},
        caption="The distance of the code that the encoder estimates for a generated image from "
        "the code that generated it. Lower is better; 1 means no information.",
        from_zero=True,
    ),
    CurveGroup(
        title="Error of features, L_rec",
        series={"loss/rec": ""},
        caption="The distance of a real image from its reconstruction in the features of the "
        "discriminator. The features change in training too, so this need not fall.",
        from_zero=True,
    ),
    CurveGroup(
        title="Gradient penalty, R1",
        series={"loss/r1": ""},
        caption="How steeply the discriminator's score changes around real images. Growing "
        "spikes are an early sign of instability.",
        from_zero=True,
    ),
    CurveGroup(
        title="Active latent elements",
        series={"latent/active": ""},
        caption="The number of elements of the code with v above 0.1: images use them.",
        from_zero=True,
    ),
    CurveGroup(
        title="Speed",
        unit="images per second",
        series={"throughput/images_per_second": ""},
        caption="Images trained per second over all workers. Dips are checkpoints, evaluations "
        "or restarts.",
        from_zero=True,
    ),
)


def training_groups(rows: Rows) -> list[CurveGroup]:
    """The groups with a curve to draw, and one group for each further loss."""
    known = {key for group in GROUPS for key in group.series}
    further = (
        CurveGroup(
            title=key,
            series={key: ""},
            caption="Further loss of this run, under its name in metrics.jsonl.",
        )
        for key in sorted(drawn_keys(rows, "loss/") - known)
    )
    return [*drawable(GROUPS, rows), *further]
