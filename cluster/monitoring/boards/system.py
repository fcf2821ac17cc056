"""The dashboard of time and machines: the speed, and what limits it."""

from cluster.monitoring.boards.panels import Board, Panel, quantile

SYSTEM = Board(
    name="system",
    title="ganinv: system",
    rows={
        "Time": (
            Panel(
                title="Where the time goes",
                help="Shares of the workers' time by state; they sum to one.",
                queries={"{{state}}": 'ganinv:time:ratio1m{run=~"$run"}'},
                unit="percentunit",
                kind="shares",
            ),
            Panel(
                title="Step time",
                help="One global batch, without the wait for data; means by rank.",
                queries={
                    "median": quantile(0.5, "ganinv_step_seconds"),
                    "99 %": quantile(0.99, "ganinv_step_seconds"),
                    "rank {{rank}}": 'ganinv:step_seconds:mean1m{run=~"$run",rank=~"$rank"}',
                },
                unit="s",
            ),
            Panel(
                title="Wait for data",
                help="Mean wait for the next batch, by rank.",
                queries={
                    "rank {{rank}}": 'ganinv:data_wait_seconds:mean1m{run=~"$run",rank=~"$rank"}'
                },
                unit="s",
            ),
            Panel(
                title="Communication",
                help="All-reduces outside of the engines; those of gradients are part of the step.",
                queries={
                    "median": quantile(0.5, "ganinv_all_reduce_seconds"),
                    "99 %": quantile(0.99, "ganinv_all_reduce_seconds"),
                },
                unit="s",
            ),
            Panel(
                title="Skew of ranks",
                help="Longest minus shortest wait for data, relative to step plus wait.",
                queries={"skew": 'ganinv:rank_skew:ratio1m{run=~"$run"}'},
                unit="percentunit",
            ),
            Panel(
                title="Object storage",
                help="Bytes per second moved by all workers.",
                queries={
                    "{{op}}": "sum by (op) "
                    '(rate(ganinv_storage_bytes_total{run=~"$run"}[$__rate_interval]))'
                },
                unit="Bps",
            ),
        ),
        "Nodes": (
            Panel(
                title="Processors",
                help="Utilisation of each node's processors, measured by Ray.",
                queries={"{{instance}}": "ray_node_cpu_utilization / 100"},
                unit="percentunit",
            ),
            Panel(
                title="Memory",
                help="Used share of each node's memory.",
                queries={"{{instance}}": "ray_node_mem_used / ray_node_mem_total"},
                unit="percentunit",
            ),
            Panel(
                title="Network",
                help="Bytes per second of each node.",
                queries={
                    "{{instance}} in": "ray_node_network_receive_speed",
                    "{{instance}} out": "ray_node_network_send_speed",
                },
                unit="Bps",
            ),
            Panel(
                title="GPUs",
                help="Utilisation of each GPU.",
                queries={"{{instance}} {{GpuIndex}}": "ray_node_gpus_utilization / 100"},
                unit="percentunit",
                needs="GPU",
            ),
            Panel(
                title="GPU memory",
                help="Used memory of each GPU.",
                queries={"{{instance}} {{GpuIndex}}": "ray_node_gram_used"},
                unit="decmbytes",
                needs="GPU",
            ),
        ),
    },
)
