"""The dashboard of training: progress, losses, latent code and evaluations."""

from cluster.monitoring.boards.panels import Board, Panel, newest

TRAINING = Board(
    name="training",
    title="ganinv: training",
    rows={
        "Progress": (
            Panel(
                title="Progress",
                help="Share of train.images seen so far.",
                queries={"": f"{newest('ganinv_images_seen')} / {newest('ganinv_target_images')}"},
                unit="percentunit",
                kind="figure",
            ),
            Panel(
                title="Images seen",
                help="Images trained so far; the clock of the run.",
                queries={"": newest("ganinv_images_seen")},
                kind="figure",
            ),
            Panel(
                title="Images per second",
                help="Over all workers, averaged over the last minute.",
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
                help="Means since the previous row of metrics.jsonl; r1 without its weight.",
                queries={"{{term}}": 'ganinv_loss{run=~"$run"}'},
            ),
            Panel(
                title="Discriminator outputs",
                help="Means on real and on generated images. Close lines: the discriminator can "
                "hardly distinguish them. Permanently far apart: it has won.",
                queries={
                    "real": 'ganinv_discriminator_real{run=~"$run"}',
                    "generated": 'ganinv_discriminator_fake{run=~"$run"}',
                },
            ),
            Panel(
                title="Gradient norms",
                help="Norms of the averaged gradients in the last step.",
                queries={
                    "G": 'ganinv_generator_gradient_norm{run=~"$run"}',
                    "D": 'ganinv_discriminator_gradient_norm{run=~"$run"}',
                },
                kind="logarithmic",
            ),
            Panel(
                title="Learning rate",
                help="Of both networks, in the last step.",
                queries={"both": 'ganinv_learning_rate{run=~"$run"}'},
            ),
            Panel(
                title="Scheduled options",
                help="Options that are schedules of the images seen, in the last step. The "
                "learning rate if there are none.",
                queries={
                    "{{option}}": 'ganinv_schedule{run=~"$run"} '
                    'or ganinv_learning_rate{run=~"$run"}'
                },
            ),
            Panel(
                title="Augmentation",
                help="Probability p of each transformation of the images that the discriminator "
                "judges; 0 without augmentation.",
                queries={
                    "p": 'ganinv_augmentation_p{run=~"$run"} '
                    'or 0 * ganinv_learning_rate{run=~"$run"}'
                },
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
                help="Entropy of the scaled code. It falls while unneeded elements vanish, then "
                "levels off. The upper line is the maximum.",
                queries={
                    "entropy": 'ganinv_latent_entropy_nats{run=~"$run"}',
                    "maximum": '1.4189385332 * ganinv_latent_elements{run=~"$run"}',
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
                help="With the averaged weights. The report page explains units and directions.",
                queries={
                    "{{figure}}": 'ganinv_evaluation{run=~"$run"}',
                },
                kind="figure",
            ),
        ),
    },
)
