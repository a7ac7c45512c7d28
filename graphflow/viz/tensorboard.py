"""Event files for TensorBoard: scalars, histograms, images, text and graphs. tensorboardX writes them (an extra)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from graphflow.core.aval import AVal
from graphflow.core.dims import Dim
from graphflow.core.errors import ShapeError
from graphflow.ir.graph import Graph, Node
from graphflow.nn.module import Module
from graphflow.tensor import Operators, as_tensor
from graphflow.viz.extras import need

_KNOWN = {"constant": "Const", "placeholder": "Placeholder"}  # ops that TensorBoard draws in its own way


class SummaryWriter:
    """Writes a run for TensorBoard, with PyTorch's methods: ``tensorboard --logdir runs`` shows it.

    logdir   the run's folder; None takes ``runs/<time>_<host>``
    comment  is put behind that name

    Values are numbers, arrays or tensors. Needs the extra ``viz`` (ImportError says so).

    >>> import os, tempfile
    >>> folder = tempfile.mkdtemp()
    >>> with gf.viz.SummaryWriter(folder) as writer:
    ...     for step in range(3):
    ...         writer.add_scalar("loss", gf.tensor(1.0) / (step + 1), step)
    >>> os.listdir(folder)[0].startswith("events.out.tfevents")
    True
    """

    def __init__(self, logdir: Any = None, comment: str = "", **options: Any) -> None:
        self._writer = need("tensorboardX", "SummaryWriter").SummaryWriter(
            None if logdir is None else str(logdir), comment=comment, **options
        )
        self.log_dir: str = self._writer.logdir

    # -- what can be written -------------------------------------------------------------------------------------------
    def add_scalar(self, tag: str, scalar_value: Any, global_step: Any = None, walltime: float | None = None) -> None:
        """One number of a curve; tags with a slash, such as ``loss/train``, are grouped."""
        self._writer.add_scalar(tag, _number(tag, scalar_value), _step(global_step), walltime)

    def add_scalars(self, main_tag: str, tag_scalar_dict: Mapping[str, Any], global_step: Any = None) -> None:
        """Several numbers, drawn into one picture."""
        numbers = {name: _number(name, value) for name, value in tag_scalar_dict.items()}
        self._writer.add_scalars(main_tag, numbers, _step(global_step))

    def add_histogram(self, tag: str, values: Any, global_step: Any = None, bins: str = "tensorflow") -> None:
        """How values are distributed: weights, gradients, activations."""
        self._writer.add_histogram(tag, _array(values), _step(global_step), bins)

    def add_image(self, tag: str, img_tensor: Any, global_step: Any = None, dataformats: str = "CHW") -> None:
        """A picture: floats in [0, 1] or uint8, its axes in the order of ``dataformats`` (CHW, HWC or HW)."""
        self._writer.add_image(tag, _image(tag, img_tensor, dataformats), _step(global_step), dataformats=dataformats)

    def add_images(self, tag: str, img_tensor: Any, global_step: Any = None, dataformats: str = "NCHW") -> None:
        """Several pictures in one."""
        self._writer.add_images(tag, _image(tag, img_tensor, dataformats), _step(global_step), dataformats=dataformats)

    def add_figure(self, tag: str, figure: Any, global_step: Any = None) -> None:
        """A Matplotlib figure as a picture."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        self.add_image(tag, np.asarray(canvas.buffer_rgba())[..., :3], global_step, dataformats="HWC")

    def add_text(self, tag: str, text_string: str, global_step: Any = None) -> None:
        """Text in Markdown."""
        self._writer.add_text(tag, text_string, _step(global_step))

    def add_pr_curve(self, tag: str, labels: Any, predictions: Any, global_step: Any = None) -> None:
        """A curve of precision over recall: true classes (0, 1) and predicted probabilities."""
        self._writer.add_pr_curve(tag, _array(labels), _array(predictions), _step(global_step))

    def add_hparams(self, hparam_dict: Mapping[str, Any], metric_dict: Mapping[str, Any]) -> None:
        """Settings of a run, and how good it was."""
        metrics = {name: _number(name, value) for name, value in metric_dict.items()}
        self._writer.add_hparams(dict(hparam_dict), metrics)

    def add_graph(self, model: Any, *inputs: Any) -> None:
        """A Module (with inputs as in ``gf.viz.summary``), a Graph, or a compiled function that has been called.

        Nodes are grouped by the submodule, or of a compiled function by the kernel, that they are part of.
        """
        from tensorboardX.proto.event_pb2 import Event

        graph, scopes = _scoped(model, inputs)
        event = Event(graph_def=graph_def(graph, scopes).SerializeToString())
        self._writer._get_file_writer().add_event(event)

    # -- life ---------------------------------------------------------------------------------------------------------
    def flush(self) -> None:
        """Write what is pending to the file."""
        self._writer.flush()

    def close(self) -> None:
        """Write what is pending and close the file."""
        self._writer.close()

    def __enter__(self) -> SummaryWriter:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def graph_def(graph: Graph, scopes: Mapping[Node, str] | None = None) -> Any:
    """A graph as TensorFlow's GraphDef, for TensorBoard; ``scopes`` gives the group that a node is shown in."""
    from tensorboardX.proto.attr_value_pb2 import AttrValue
    from tensorboardX.proto.graph_pb2 import GraphDef
    from tensorboardX.proto.node_def_pb2 import NodeDef
    from tensorboardX.proto.versions_pb2 import VersionDef

    def shapes(aval: Any) -> Any:
        avals = aval if isinstance(aval, tuple) else (aval,) if isinstance(aval, AVal) else ()
        return AttrValue(list=AttrValue.ListValue(shape=[_shape_proto(a.shape) for a in avals]))

    groups = scopes or {}
    names = {n: f"{groups[n]}/{n.name}" if groups.get(n) else n.name for n in graph.nodes}
    nodes = []
    for node in graph.nodes:
        attrs = {k: AttrValue(s=_text(v).encode()) for k, v in node.attrs.items()}
        attrs["_output_shapes"] = shapes(node.aval)
        if node.origin is not None:
            attrs["line"] = AttrValue(s=str(node.origin).encode())
        used = [*(names[i] for i in node.inputs), *(f"^{names[c]}" for c in node.control)]
        nodes.append(NodeDef(name=names[node], op=_KNOWN.get(node.op.name, node.op.name), input=used, attr=attrs))
    return GraphDef(node=nodes, versions=VersionDef(producer=22))


def _shape_proto(shape: tuple[Any, ...]) -> Any:
    from tensorboardX.proto.tensor_shape_pb2 import TensorShapeProto

    sizes = [TensorShapeProto.Dim(size=-1 if isinstance(s, Dim) else s) for s in shape]
    return TensorShapeProto(dim=sizes)


def _scoped(model: Any, inputs: tuple[Any, ...]) -> tuple[Graph, dict[Node, str]]:
    """The graph, and the group of each node."""
    from graphflow.viz.programs import program_of
    from graphflow.viz.summary import module_calls

    if isinstance(model, Graph):
        return model, {}
    if not isinstance(model, Module):
        shown = program_of(model)
        return shown.graph, {n: label.replace(" ", "_") for n, label in shown.labels.items()}
    if not inputs:
        raise TypeError(f"the graph of a {type(model).__name__} needs its inputs, such as (None, 784)")
    graph, calls = module_calls(model, inputs)
    scopes: dict[Node, str] = {}
    around: list[str] = []  # the names of the calls that a call is inside of
    for call in calls:  # inner calls come after those around them
        name = f"{call.path.rpartition('.')[2]}[{type(call.module).__name__}]"
        around = [*around[: call.depth - 1], name] if call.depth else []
        scopes.update(dict.fromkeys(call.nodes, "/".join(around)))
    return graph, {n: s for n, s in scopes.items() if n.graph is graph}


def _array(value: Any) -> Any:
    array = as_tensor(value).numpy() if isinstance(value, Operators) else np.asarray(value)
    return array.astype(np.float32) if array.dtype.kind == "V" or array.dtype == np.float16 else array


def _number(tag: str, value: Any) -> float:
    array = _array(value)
    if array.size != 1 or array.dtype.kind not in "biuf":
        raise ValueError(f"{tag!r} needs one number, got {value!r}"[:200])
    return float(array.reshape(()))


def _image(tag: str, value: Any, dataformats: str) -> Any:
    array = _array(value)
    if array.ndim != len(dataformats):
        raise ShapeError(f"{tag!r}: an array of shape {array.shape} has not the axes {dataformats}; see dataformats=")
    return array


def _step(step: Any) -> int | None:
    return None if step is None else int(step)


def _text(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return str(value.tolist()) if value.size <= 8 else f"{value.dtype}{list(value.shape)}"
    return str(getattr(value, "name", value))
