"""Which curves of training the result page shows, in which charts and words."""

from launch.pages.curves import CurveGroup, Rows, drawable, drawn_keys

GROUPS = (
    CurveGroup(
        title="Losses of the two networks",
        series={"loss/d": "discriminator", "loss/g": "generator"},
        caption="The tug of war that trains both. Look for a balance that holds: if one line runs "
        "away for good, that network has won and nobody learns.",
    ),
    CurveGroup(
        title="Verdict of the discriminator",
        series={"d/real": "real", "d/fake": "generated"},
        caption="Its mean score for real and for generated images. The closer the lines, the "
        "harder the two are to tell apart.",
    ),
    CurveGroup(
        title="Error of the code, L_enc",
        series={"loss/enc": ""},
        caption="How far the code read from a generated image is from the code that made it. "
        "Lower is better; 1 would mean that nothing was read at all.",
        from_zero=True,
    ),
    CurveGroup(
        title="Error of features, L_rec",
        series={"loss/rec": ""},
        caption="How far a real image and its reconstruction are apart in the eyes of the "
        "discriminator. Its eyes sharpen too, so this need not fall.",
        from_zero=True,
    ),
    CurveGroup(
        title="Gradient penalty, R1",
        series={"loss/r1": ""},
        caption="How steeply the discriminator's score changes around real images. Growing "
        "spikes are an early sign of trouble.",
        from_zero=True,
    ),
    CurveGroup(
        title="Active latent elements",
        series={"latent/active": ""},
        caption="How many elements of the code have v above 0.1, so that images really use them.",
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
    """The groups for which there is something to draw, and one for each other loss."""
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
