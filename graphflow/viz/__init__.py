"""Seeing what happens: progress bars, summaries of models, curves, pages of graphs, TensorBoard files.

>>> import graphflow as gf
>>> gf.viz.summary(gf.nn.Linear(4, 2), (None, 4)).flops
18
"""

from __future__ import annotations

from graphflow.viz import flops
from graphflow.viz.attribution import integrated_gradients, saliency
from graphflow.viz.page import html
from graphflow.viz.plots import plot_confusion, plot_history, plot_images
from graphflow.viz.progress import Progress
from graphflow.viz.summary import Summary, summary
from graphflow.viz.tensorboard import SummaryWriter

__all__ = [
    "Progress",
    "Summary",
    "SummaryWriter",
    "html",
    "integrated_gradients",
    "plot_confusion",
    "plot_history",
    "plot_images",
    "saliency",
    "summary",
]
