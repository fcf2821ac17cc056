"""The dashboard of what went wrong, and of what it cost."""

from cluster.monitoring.boards.panels import Board, Panel

RELIABILITY = Board(
    name="reliability",
    title="ganinv: reliability",
    rows={
        "Now": (
            Panel(
                title="Alerts",
                help="Alerts that fire, of all runs; Prometheus' own page names them.",
                queries={"": 'sum(ALERTS{alertstate="firing"}) or vector(0)'},
                kind="figure",
            ),
            Panel(
                title="Goodput",
                help="Share of the last hour that went into training steps.",
                queries={"": 'ganinv:goodput:ratio1h{run=~"$run"}'},
                unit="percentunit",
                kind="figure",
            ),
            Panel(
                title="Age of the newest checkpoint",
                help="What a failure would cost now.",
                queries={"": 'ganinv:checkpoint_age_seconds{run=~"$run"}'},
                unit="s",
                kind="figure",
            ),
            Panel(
                title="Images trained twice",
                help="Lost to restarts since the run was started.",
                queries={"": 'sum(ganinv_lost_images_total{run=~"$run"})'},
                kind="figure",
            ),
        ),
        "Workers": (
            Panel(
                title="Restarts",
                help="Of the worker group, by reason.",
                queries={"{{reason}}": 'sum by (reason) (ganinv_restarts_total{run=~"$run"})'},
            ),
            Panel(
                title="Workers and nodes",
                help="Workers of the group, those that answer, and nodes of the Ray cluster.",
                queries={
                    "in the group": 'ganinv_world_size{run=~"$run"}',
                    "answering": 'sum(up{job="ganinv",run=~"$run"})',
                    "nodes": "ganinv:ray_nodes:count",
                },
            ),
            Panel(
                title="Steps left out",
                help="They were not finite.",
                queries={"steps": 'max by (run) (ganinv_nonfinite_steps_total{run=~"$run"})'},
            ),
        ),
        "Checkpoints": (
            Panel(
                title="Images since the newest checkpoint",
                help="Saw-teeth as high as train.checkpoint_every.",
                queries={
                    "since": 'ganinv_images_seen{run=~"$run"} '
                    '- on (run) ganinv_checkpoint_images{run=~"$run"}',
                    "planned": 'ganinv_checkpoint_every_images{run=~"$run"}',
                },
            ),
            Panel(
                title="Stall and upload",
                help="How long training stood still to save, and how long it then took beside "
                "training until the commit, since the workers started.",
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
                help="Attempts that failed, and seconds that saves waited for the one before.",
                queries={
                    "failed": 'ganinv_checkpoint_failures_total{run=~"$run"}',
                    "waited, s": 'ganinv_checkpoint_wait_seconds_total{run=~"$run"}',
                },
            ),
            Panel(
                title="Goodput over time",
                help="Share of an hour that went into training steps.",
                queries={"goodput": 'ganinv:goodput:ratio1h{run=~"$run"}'},
                unit="percentunit",
            ),
        ),
        "Object storage": (
            Panel(
                title="Requests",
                help="By verb and outcome, of all workers.",
                queries={
                    "{{op}} {{outcome}}": "sum by (op, outcome) "
                    '(rate(ganinv_storage_requests_total{run=~"$run"}[$__rate_interval]))'
                },
                unit="reqps",
            ),
            Panel(
                title="Errors",
                help="In the last five minutes; what is missing or already there is no error.",
                queries={
                    "errors": 'sum(ganinv:storage_errors:increase5m{run=~"$run"}) or vector(0)'
                },
            ),
            Panel(
                title="Retries and second reads",
                help="Requests made again after a fault, and beside a straggler.",
                queries={
                    "retries": "sum(rate(ganinv_storage_retries_total"
                    '{run=~"$run"}[$__rate_interval])) or vector(0)',
                    "second reads": "sum(rate(ganinv_storage_hedges_total"
                    '{run=~"$run"}[$__rate_interval])) or vector(0)',
                },
                unit="reqps",
            ),
            Panel(
                title="Damaged samples",
                help="Replaced since the workers started; a run names them in its quarantine/.",
                queries={"samples": 'sum(ganinv_samples_quarantined_total{run=~"$run"})'},
            ),
        ),
    },
)
