"""The table that ``model.summary()`` prints."""

from __future__ import annotations

from typing import Any

from graphflow.core.tree import flatten
from graphflow.keras.symbolic import KerasTensor


def summary(model: Any, expand_nested: bool = False, show_trainable: bool = False) -> str:
    """Layers, the shapes that come out, numbers of parameters; and the sums."""
    heads = ["Layer (type)", "Output Shape", "Param #"] + ["Trainable"] * show_trainable
    rows = list(_rows(model, "", expand_nested, show_trainable))
    widths = [max(len(h), *(len(r[i]) for r in rows), 0) if rows else len(h) for i, h in enumerate(heads)]
    rule = "-+-".join("-" * w for w in widths)
    lines = [f'Model: "{model.name}"', _line(heads, widths), rule, *(_line(r, widths) for r in rows), rule]
    total, trained = _count(model.weights), _count(model.trainable_weights)
    lines.append(f"Total params: {total:,} ({_size(model.weights)})")
    lines.append(f"Trainable params: {trained:,} ({_size(model.trainable_weights)})")
    lines.append(f"Non-trainable params: {total - trained:,} ({_size(model.non_trainable_weights)})")
    state = getattr(model.optimizer, "state", {}) if model.optimizer is not None else {}
    slots = list({id(v): v for own in state.values() for v in own.values()}.values())
    if slots:
        lines.append(f"Optimizer params: {_count(slots):,} ({_size(slots)})")
    return "\n".join(lines)


def _rows(model: Any, indent: str, nested: bool, show_trainable: bool) -> Any:
    for layer in model.layers:
        name = getattr(layer, "name", type(layer).__name__)
        weights = _weights(layer)
        built = getattr(layer, "built", True) or weights
        params = f"{_count(weights):,}" if built else "? (unbuilt)"
        row = [f"{indent}{name} ({type(layer).__name__})", _shape(layer), params]
        yield row + ([] if not show_trainable else ["Y" if getattr(layer, "trainable", True) else "N"])
        if nested and hasattr(layer, "layers"):
            yield from _rows(layer, indent + "  ", nested, show_trainable)


def _weights(layer: Any) -> list[Any]:
    if hasattr(layer, "weights"):
        return list(layer.weights)
    return [*layer.parameters(), *layer.buffers()]


def _shape(layer: Any) -> str:
    if hasattr(layer, "batch_shape"):
        return str(layer.batch_shape)
    nodes = getattr(layer, "nodes", None)
    if not nodes:
        return "?"
    shapes = [t.shape for t in flatten(nodes[-1].outputs)[0] if isinstance(t, KerasTensor)]
    return ", ".join(map(str, shapes))


def _line(cells: Any, widths: Any) -> str:
    return " | ".join(c.ljust(w) if i < 2 else c.rjust(w) for i, (c, w) in enumerate(zip(cells, widths))).rstrip()


def _count(variables: Any) -> int:
    return sum(v._data.size for v in variables)


def _size(variables: Any) -> str:
    size = float(sum(v._data.nbytes for v in variables))
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1024 or unit == "GB":
            return f"{size:.2f} {unit}"
        size /= 1024
    return ""
