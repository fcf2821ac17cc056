"""The verbs of the command line. Each is a module in `launch.commands` with a function `main`.

Verbs that work with a trained model alone lie in `launch.commands.models`.
"""

VERBS = {
    "data": "build, index, verify and list data sets",
    "train": "train a model here, or on the cluster named by RAY_ADDRESS",
    "submit": "train as a job on a cluster: ships this checkout, follows the log",
    "attach": "follow a submitted job again, or stop it",
    "status": "progress of a run; or nodes, workers and jobs of a cluster",
    "checkpoints": "list, verify and delete the checkpoints of a run",
    "evaluate": "figures of a run: reconstruction, latent code, Fréchet distance, recall …",
    "suggest": "γ, batch, rate, widths and hours that suit a data set, as a recipe",
    "sweep": "short trainings over a grid of options, one page of them, and the best",
    "profile": "where the time and memory of a recipe's training steps go",
    "invert": "encode a folder of images, and decode the codes again",
    "boundary": "directions along which an attribute of images changes, for edits",
    "edit": "change pictures along boundaries; strips, interpolation, a page with sliders",
    "studio": "a page on which to edit pictures of one's own, with a trained model",
    "export": "write a trained model to files that do not need its run",
    "report": "one HTML page with pictures and curves of a run",
    "compare": "curves of several runs in the same charts, as a page and as SVG files",
    "watch": "a page that follows a run, from its storage alone",
    "tensorboard": "event files for TensorBoard, from the storage of runs",
    "monitor": "Prometheus, and Grafana where it is installed, for all runs",
    "store": "an S3 server on this machine, for development",
    "doctor": "check this machine, storage and data, or every node of a cluster",
    "demo": "store, data, training and report in one go",
    "completion": "print a script that completes these commands in bash or zsh",
}
# These talk to a cluster's job server and never start Ray here.
CLIENTS = ("submit", "attach", "status", "doctor")
OF_MODELS = ("invert", "boundary", "edit", "studio", "export")
SUB_VERBS = {
    "data": ("build", "index", "verify", "ls"),
    "store": ("start", "stop", "status", "env"),
    "demo": ("clean",),
    "completion": ("bash", "zsh"),
}


def module_of(verb: str) -> str:
    """The module of a verb, as Python imports it."""
    return f"launch.commands.models.{verb}" if verb in OF_MODELS else f"launch.commands.{verb}"
