"""The workloads that ``graphflow bench`` measures. To add one, write its record and list it here."""

from __future__ import annotations

from graphflow.cli.bench.workloads.chain import CHAIN
from graphflow.cli.bench.workloads.convolutional import CONVOLUTIONAL
from graphflow.cli.bench.workloads.gpt import GPT, VIT
from graphflow.cli.bench.workloads.mlp import INFER_S, MLP_M, MLP_S, PRIMER
from graphflow.cli.bench.workloads.record import Compile, Step, Workload, eagerly
from graphflow.cli.bench.workloads.recurrent import GRU, LSTM

WORKLOADS: dict[str, Workload] = {
    each.name: each for each in (MLP_S, MLP_M, *CONVOLUTIONAL, LSTM, GRU, GPT, VIT, CHAIN, INFER_S)
}
