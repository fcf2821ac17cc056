"""The dashboard of training: is it getting anywhere, and are both networks well?"""

from cluster.monitoring.boards.panels import Board, Panel, newest

TRAINING = Board(
    name="training",
    title="ganinv: training",
    rows={
        "Progress": (
            Panel(
                title="Done",
                help="Share of train.images that the run has seen.",
                queries={"": f"{newest('ganinv_images_seen')} / {newest('ganinv_target_images')}"},
                unit="percentunit",
                kind="figure",
            ),
            Panel(
                title="Images seen",
                help="The clock of the run.",
                queries={"": newest("ganinv_images_seen")},
                kind="figure",
            ),
            Panel(
                title="Images per second",
                help="Over all workers, in the last minute.",
                queries={"": 'ganinv:images:rate1m{run=~"$run"}'},
                kind="figure",
            ),
            Panel(
                title="Time left",
                help="At the speed of the last minute.",
                queries={
                    "": f"clamp_min({newest('ganinv_target_images')}"
                    f" - {newest('ganinv_images_seen')}, 0)"
                    ' / on (run) ganinv:images:rate1m{run=~"$run"}'
                },
                unit="s",
                kind="figure",
            ),
        ),
        "The two networks": (
            Panel(
                title="Losses",
                help="Means since the last row of metrics.jsonl; r1 is without its weight.",
                queries={"{{term}}": 'ganinv_loss{run=~"$run"}'},
            ),
            Panel(
                title="Verdict of the discriminator",
                help="Balance of G and D: the closer the lines, the harder real and generated "
                "images are to tell apart. Far apart for good: D has won.",
                queries={
                    "real": 'ganinv_discriminator_real{run=~"$run"}',
                    "generated": 'ganinv_discriminator_fake{run=~"$run"}',
                },
            ),
            Panel(
                title="Gradient norms",
                help="Of the mean gradients at the last step.",
                queries={
                    "G": 'ganinv_generator_gradient_norm{run=~"$run"}',
                    "D": 'ganinv_discriminator_gradient_norm{run=~"$run"}',
                },
                kind="logarithmic",
            ),
            Panel(
                title="Learning rate",
                help="Of both networks, at the last step.",
                queries={"both": 'ganinv_learning_rate{run=~"$run"}'},
            ),
            Panel(
                title="Speed",
                help="Images per second over all workers.",
                queries={"images/s": 'ganinv:images:rate1m{run=~"$run"}'},
            ),
        ),
        "The latent code": (
            Panel(
                title="Latent entropy",
                help="How much the scaled code can say; it falls while elements are dropped that "
                "images do not need, then levels off. The upper line is the most it could be.",
                queries={
                    "entropy": 'ganinv_latent_entropy_nats{run=~"$run"}',
                    "largest": '1.4189385332 * ganinv_latent_elements{run=~"$run"}',
                },
            ),
            Panel(
                title="Elements in use",
                help="Active: traced variance above 0.1. Effective: participation ratio.",
                queries={
                    "active": 'ganinv_latent_active_elements{run=~"$run"}',
                    "effective": 'ganinv_latent_effective_elements{run=~"$run"}',
                    "all": 'ganinv_latent_elements{run=~"$run"}',
                },
            ),
            Panel(
                title="Latent spectrum",
                help="Quantiles of the traced variances v of generated (fake) and real images.",
                queries={"{{trace}} {{quantile}}": 'ganinv_latent_variance{run=~"$run"}'},
                kind="logarithmic",
            ),
        ),
        "Evaluation": (
            Panel(
                title="Figures of the last evaluation",
                help="On the averaged weights; units and directions stand on the report page.",
                queries={
                    "{{figure}}": 'ganinv_evaluation{run=~"$run"}',
                },
                kind="figure",
            ),
        ),
    },
)
