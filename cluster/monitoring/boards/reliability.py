"""The dashboard of failures and their cost."""

from cluster.monitoring.boards.panels import Board, Panel

RELIABILITY = Board(
    name="reliability",
    title="ganinv: reliability",
    rows={
        "Now": (
            Panel(
                title="Alerts",
                help="Firing alerts of all runs; the page Alerts of Prometheus lists them.",
                queries={"": 'sum(ALERTS{alertstate="firing"}) or vector(0)'},
                kind="figure",
            ),
            Panel(
                title="Goodput",
                help="Share of the last hour spent in training steps.",
                queries={"": 'ganinv:goodput:ratio1h{run=~"$run"}'},
                unit="percentunit",
                kind="figure",
            ),
            Panel(
                title="Age of the newest checkpoint",
                help="The training time that a failure would cost now.",
                queries={"": 'ganinv:checkpoint_age_seconds{run=~"$run"}'},
                unit="s",
                kind="figure",
            ),
            Panel(
                title="Images trained twice",
                help="Images trained again after restarts, since the run was started.",
                queries={"": 'sum(ganinv_lost_images_total{run=~"$run"})'},
                kind="figure",
            ),
        ),
        "Workers": (
            Panel(
                title="Restarts",
                help="Restarts of the worker group, by reason.",
                queries={"{{reason}}": 'sum by (reason) (ganinv_restarts_total{run=~"$run"})'},
            ),
            Panel(
                title="Workers and nodes",
                help="Workers in the group, workers that answer, and nodes of the Ray cluster.",
                queries={
                    "in the group": 'ganinv_world_size{run=~"$run"}',
                    "answering": 'sum(up{job="ganinv",run=~"$run"})',
                    "nodes": "ganinv:ray_nodes:count",
                },
            ),
            Panel(
                title="Skipped steps",
                help="Steps skipped for non-finite values.",
                queries={"steps": 'max by (run) (ganinv_nonfinite_steps_total{run=~"$run"})'},
            ),
        ),
        "Checkpoints": (
            Panel(
                title="Images since the newest checkpoint",
                help="A sawtooth with peaks at train.checkpoint_every.",
                queries={
                    "since": 'ganinv_images_seen{run=~"$run"} '
                    '- on (run) ganinv_checkpoint_images{run=~"$run"}',
                    "planned": 'ganinv_checkpoint_every_images{run=~"$run"}',
                },
            ),
            Panel(
                title="Stall and upload",
                help="How long saves stopped training, and how long the upload in the background "
                "then took until the commit; since the workers started.",
                queries={
                    "upload, mean": 'ganinv_checkpoint_upload_seconds_sum{run=~"$run"} '
                    '/ ganinv_checkpoint_upload_seconds_count{run=~"$run"}',
                    "mean": 'ganinv_checkpoint_stall_seconds_sum{run=~"$run"} '
                    '/ ganinv_checkpoint_stall_seconds_count{run=~"$run"}',
                    "99 %": "histogram_quantile(0.99, "
                    'ganinv_checkpoint_stall_seconds_bucket{run=~"$run"})',
                },
                unit="s",
            ),
            Panel(
                title="Failed saves",
                help="Failed attempts, and seconds that saves waited for the previous save.",
                queries={
                    "failed": 'ganinv_checkpoint_failures_total{run=~"$run"}',
                    "waited, s": 'ganinv_checkpoint_wait_seconds_total{run=~"$run"}',
                },
            ),
            Panel(
                title="Goodput over time",
                help="Share of the preceding hour spent in training steps.",
                queries={"goodput": 'ganinv:goodput:ratio1h{run=~"$run"}'},
                unit="percentunit",
            ),
        ),
        "Object storage": (
            Panel(
                title="Requests",
                help="Requests of all workers by verb and outcome.",
                queries={
                    "{{op}} {{outcome}}": "sum by (op, outcome) "
                    '(rate(ganinv_storage_requests_total{run=~"$run"}[$__rate_interval]))'
                },
                unit="reqps",
            ),
            Panel(
                title="Errors",
                help="In the last five minutes. A missing or existing object is not an error.",
                queries={
                    "errors": 'sum(ganinv:storage_errors:increase5m{run=~"$run"}) or vector(0)'
                },
            ),
            Panel(
                title="Retries and hedges",
                help="Requests repeated after a failure, and second requests beside slow ones.",
                queries={
                    "retries": "sum(rate(ganinv_storage_retries_total"
                    '{run=~"$run"}[$__rate_interval])) or vector(0)',
                    "hedges": "sum(rate(ganinv_storage_hedges_total"
                    '{run=~"$run"}[$__rate_interval])) or vector(0)',
                },
                unit="reqps",
            ),
            Panel(
                title="Corrupt samples",
                help="Replaced since the workers started; the run lists them in quarantine/.",
                queries={"samples": 'sum(ganinv_samples_quarantined_total{run=~"$run"})'},
            ),
        ),
    },
)
