"""What the ranks of `run_ranks` need; the process from which they are forked imports it.

No module here may start a thread: a fork has none of its parent's.
"""

# ruff: noqa: F401

import os

os.environ["DS_ACCELERATOR"] = "cpu"  # DeepSpeed reads it when it is imported

import deepspeed
import pytest
import torch

import cluster.checkpoints.contents
import cluster.collectives
import cluster.engine
import cluster.flat_engine
import cluster.storage.opening
import tests.support.engines
import tests.support.saves

torch.compile(torch.relu)  # compiles nothing; imports what DeepSpeed's first engine imports
