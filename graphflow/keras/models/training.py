"""compile, fit, evaluate, predict: the training half of Model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from graphflow.autograd import gradients
from graphflow.core import dispatch
from graphflow.core.errors import at_line, user_origin
from graphflow.core.tree import flatten, unflatten
from graphflow.keras import optimizers
from graphflow.keras.callbacks.base import CallbackList, History
from graphflow.keras.layers.base import Layer
from graphflow.keras.metrics.base import Mean, Metric
from graphflow.keras.models.batches import Arrays, Stream, batches, pack, unpack, weights_of_classes
from graphflow.keras.models.check import check_data, check_loss
from graphflow.keras.models.compiled import Compiled, batch_size
from graphflow.keras.models.logs import (
    as_number,
    held_out,
    is_due,
    outputs_log,
    plain_logs,
    samples_per_step,
    step_count,
)
from graphflow.keras.optimizers.base import Optimizer, apply_constraints
from graphflow.trace import compile as compile_function


class Trainer:
    """What makes layers a model that learns. A step of it is one compiled program, metrics and update included."""

    if TYPE_CHECKING:  # what Layer and Model have
        name: str

        def __getattr__(self, name: str) -> Any: ...
        def __call__(self, *args: Any, **kwargs: Any) -> Any: ...

    def _start_training_state(self) -> None:
        plain = self.__dict__
        plain.update(optimizer=None, stop_training=False, history=None, run_eagerly=False)
        plain.update(_compiled=None, _compile_arguments=None, _loss_tracker=None, _programs={})

    def _forget_programs(self) -> None:
        self.__dict__["_programs"] = {}

    # -- compile -------------------------------------------------------------------------------------------------------
    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        jit_compile: Any = "auto",
        auto_scale_loss: bool = True,
    ) -> None:
        """Say how to train: an optimizer, losses and metrics, each by name or as objects.

        For several outputs losses and metrics come as lists in their order, or as dicts by name. ``run_eagerly`` runs
        the same steps line by line. Raises ValueError for an unknown name, with those that are close.
        """
        plain = self.__dict__
        plain["optimizer"] = optimizers.get(optimizer)
        plain["_compiled"] = Compiled(loss, loss_weights, metrics, weighted_metrics)
        plain["_loss_tracker"] = Mean("loss")
        plain["run_eagerly"] = run_eagerly
        plain["loss"] = loss
        plain["_compile_arguments"] = {
            "loss": loss,
            "loss_weights": loss_weights,
            "metrics": metrics,
            "weighted_metrics": weighted_metrics,
            "run_eagerly": run_eagerly,
        }
        self._forget_programs()

    @property
    def compiled(self) -> bool:
        """Whether ``compile`` was called."""
        return self._compiled is not None  # type: ignore[no-any-return]

    def _need_compile(self) -> None:
        if not self.compiled:
            raise RuntimeError(
                at_line(f"{self.name} is not compiled yet: call compile(optimizer=..., loss=...) first", user_origin())
            )

    # -- one step ------------------------------------------------------------------------------------------------------
    def train_step(self, data: Any) -> Any:
        """One step on a batch, (x, y) or as ``fit`` was given: forward, backward, update, metrics. Override it."""
        self._train(*unpack(data))
        return self.get_metrics_result()

    def test_step(self, data: Any) -> Any:
        """Loss and metrics of a batch."""
        self._test(*unpack(data))
        return self.get_metrics_result()

    def predict_step(self, data: Any) -> Any:
        """The outputs for a batch."""
        return self(unpack(data)[0], training=False)

    def _train(self, x: Any, y: Any, sample_weight: Any) -> None:
        y_pred = self(x, training=True)
        loss = self._loss_of(x, y, y_pred, sample_weight, training=True)
        variables = self.trainable_variables
        found = gradients(loss, variables) if variables else []
        pairs = [(g, v) for g, v in zip(found, variables) if g is not None]
        if variables and not pairs:
            raise ValueError(at_line("the loss depends on none of the model's weights", user_origin()))
        if pairs:
            self.optimizer.apply_gradients(pairs)
        with dispatch.no_grad():
            if not isinstance(self.optimizer, Optimizer):
                apply_constraints([v for _, v in pairs])
            self._see(x, y, y_pred, sample_weight, loss)

    def _test(self, x: Any, y: Any, sample_weight: Any) -> None:
        with dispatch.no_grad():
            y_pred = self(x, training=False)
            loss = self._loss_of(x, y, y_pred, sample_weight, training=False)
            self._see(x, y, y_pred, sample_weight, loss)

    def _loss_of(self, x: Any, y: Any, y_pred: Any, sample_weight: Any, training: bool) -> Any:
        compiled = self._compiled
        if not compiled.built:
            compiled.build(y, y_pred, self.output_names)
        return self.compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=training)

    def _see(self, x: Any, y: Any, y_pred: Any, sample_weight: Any, loss: Any) -> None:
        """Let loss and metrics count a batch."""
        self._loss_tracker.update_state(loss.detach(), batch_size(x))
        if type(self).compute_metrics is not Trainer.compute_metrics:
            self.compute_metrics(x, y, y_pred, sample_weight)
        else:
            self._compiled.update(y, y_pred, sample_weight, self.output_names)

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """The loss of a batch: ``compile``'s, and those that layers and regularizers add."""
        total = self._compiled.total(y, y_pred, sample_weight, self.output_names)
        for own in self.losses:
            total = own if total is None else total + own
        if total is None:
            raise ValueError(
                at_line("there is no loss: give compile one (loss='mse'), or call add_loss in a layer", user_origin())
            )
        return total

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Let the metrics see a batch and give all results. Override it for metrics of your own."""
        self._compiled.update(y, y_pred, sample_weight, self.output_names)
        return self.get_metrics_result()

    # -- metrics -------------------------------------------------------------------------------------------------------
    @property
    def metrics(self) -> list[Metric]:
        """The loss, ``compile``'s metrics, and those that are attributes of the model."""
        tracker = [self._loss_tracker] if self._loss_tracker is not None else []
        compiled = self._compiled.all_metrics() if self.compiled else []
        own = [v for v in self.__dict__.values() if isinstance(v, Metric) and v is not tracker]
        return list(dict.fromkeys([*tracker, *compiled, *own]))

    @property
    def metrics_names(self) -> list[str]:
        return [m.name for m in self.metrics]

    def reset_metrics(self) -> None:
        """Start all metrics over."""
        for metric in self.metrics:
            metric.reset_state()

    def get_metrics_result(self) -> dict[str, Any]:
        """The metrics so far, by name."""
        with dispatch.no_grad():
            return {m.name: m.result() for m in self.metrics}

    def _logs(self) -> dict[str, float]:
        return {m.name: m.value() if isinstance(m, Mean) else as_number(m.result()) for m in self.metrics}

    # -- programs ------------------------------------------------------------------------------------------------------
    def _run(self, kind: str, batch: Any) -> Any:
        """One step of a kind on a batch."""
        leaves, tree = flatten(batch)
        program = self._program(kind, tree, tuple(leaf is not None for leaf in leaves))
        return program(*(leaf for leaf in leaves if leaf is not None))

    def _program(self, kind: str, tree: Any, present: tuple[bool, ...]) -> Callable[..., Any]:
        """The step for a nesting of the data, as a function of its arrays: compiled, once for each."""
        key = (kind, tree, present)
        programs: dict[Any, Any] = self._programs
        if key not in programs:
            step = self._step_function(kind, tree, present)
            programs[key] = step if self.run_eagerly else compile_function(step)
        return programs[key]  # type: ignore[no-any-return]

    def _step_function(self, kind: str, tree: Any, present: tuple[bool, ...]) -> Callable[..., Any]:
        own = getattr(self, f"{kind}_step")
        plain = {"train": self._train, "test": self._test}.get(kind)
        is_plain = plain is not None and own.__func__ is getattr(Trainer, f"{kind}_step")

        def step(*arrays: Any) -> Any:
            supply = iter(arrays)
            batch = unflatten(tree, [next(supply) if there else None for there in present])
            return plain(*batch) if is_plain and plain is not None else own(pack(*batch))

        step.__name__ = step.__qualname__ = f"{self.name}.{kind}_step"
        return step

    def _mode(self, training: bool) -> None:
        """Modules of gf.nn among the layers go by their own flag."""
        for module in self.modules():
            if not isinstance(module, Layer):
                module.training = training

    # -- fit -----------------------------------------------------------------------------------------------------------
    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: Mapping[int, float] | None = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: Any = 1,
    ) -> History:
        """Train for a number of epochs; gives the History of loss and metrics.

        x and y are arrays (or lists or dicts of them, as the model takes them), or x is a DataLoader, a dataset, a
        generator or a ``PyDataset`` that gives batches (x, y) or (x, y, sample_weight). Raises errors that say what to
        do where the data does not fit the model.
        """
        self._need_compile()
        if class_weight is not None and y is not None:
            sample_weight = weights_of_classes(class_weight, y, sample_weight)
        data = batches(x, y, sample_weight, batch_size, shuffle, steps_per_epoch)
        held: Any = None
        if validation_split:
            if not isinstance(data, Arrays):
                raise ValueError(at_line("validation_split is for arrays: give validation_data", user_origin()))
            data, held = data.split(validation_split)
        if validation_data is not None:
            held = held_out(validation_data, validation_batch_size or batch_size, validation_steps)
        for part in (data, held):
            if isinstance(part, Arrays):
                check_data(self, *part.whole())
        listed = CallbackList(callbacks, self, verbose, epochs, step_count(data), History(), samples_per_step(data))
        self.__dict__.update(stop_training=False, history=listed.history)
        listed.on_train_begin()
        epoch = initial_epoch
        for epoch in range(initial_epoch, epochs):
            listed.on_epoch_begin(epoch)
            self._mode(True)
            logs = self._epoch("train", data, listed, class_weight if y is None else None)
            check_loss(self, logs, epoch)
            if held is not None and is_due(validation_freq, epoch):
                logs |= {f"val_{name}": v for name, v in self._epoch("test", held, listed).items()}
            listed.on_epoch_end(epoch, logs)
            if self.stop_training:
                break
        if isinstance(self.optimizer, Optimizer) and self.optimizer.use_ema:
            self.optimizer.finalize_variable_values(self.trainable_variables)
        listed.on_train_end()
        self._mode(False)
        return listed.history

    def _epoch(
        self, kind: str, data: Arrays | Stream, listed: CallbackList, class_weight: Any = None
    ) -> dict[str, Any]:
        """All batches once; gives the logs."""
        self._mode(kind == "train")
        self.reset_metrics()
        listed.on_part_begin(kind)
        found: Any = None
        steps = 0
        # The arrays of one nesting go straight into one program.
        program = self._program(kind, data.tree, data.present) if isinstance(data, Arrays) else None
        for batch in data.pieces() if isinstance(data, Arrays) else data:
            if class_weight is not None:
                x, y, weight = batch
                batch = (x, y, weights_of_classes(class_weight, y, weight))
            listed.on_batch_begin(kind, steps)
            found = self._run(kind, batch) if program is None else program(*batch)
            listed.on_batch_end(kind, steps, self._logs if found is None else partial(plain_logs, found))
            steps += 1
            if self.stop_training:
                break
        if steps == 0:
            raise ValueError(at_line("the data gave no batch", user_origin()))
        logs = self._logs() if found is None else plain_logs(found)
        listed.on_part_end(kind, logs)
        return logs

    # -- evaluate and predict ------------------------------------------------------------------------------------------
    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: Any = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Any = None,
        return_dict: bool = False,
        **ignored: Any,
    ) -> Any:
        """Loss and metrics over data: a list in the order of ``metrics_names``, one number, or a dict."""
        self._need_compile()
        data = batches(x, y, sample_weight, batch_size, False, steps)
        if isinstance(data, Arrays):
            check_data(self, *data.whole())
        listed = CallbackList(callbacks, self, verbose, 1, step_count(data), None, samples_per_step(data))
        self.__dict__["stop_training"] = False
        listed.on_test_begin_alone()
        logs = self._epoch("test", data, listed)
        listed.on_test_end_alone(logs)
        values = list(logs.values())
        return logs if return_dict else values[0] if len(values) == 1 else values

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: Any = "auto",
        steps: int | None = None,
        callbacks: Any = None,
    ) -> Any:
        """The outputs for data, as NumPy arrays."""
        data = batches(x, None, None, batch_size, False, steps)
        if isinstance(data, Arrays):
            check_data(self, data.whole()[0], None, None)
        listed = CallbackList(
            callbacks, self, 0 if verbose == "auto" else verbose, 1, step_count(data), None, samples_per_step(data)
        )
        self._mode(False)
        found: list[list[np.ndarray[Any, Any]]] = []
        tree: Any = None
        listed.on_part_begin("predict")
        for number, batch in enumerate(data):
            listed.on_batch_begin("predict", number)
            with dispatch.no_grad():
                out = self._run("predict", (batch[0],))
            leaves, tree = flatten(out)
            found.append([np.array(t.numpy()) for t in leaves])
            listed.on_batch_end("predict", number, partial(outputs_log, out))
        listed.on_part_end("predict", {})
        return unflatten(tree, [np.concatenate(parts) for parts in zip(*found)])

    # -- single batches ------------------------------------------------------------------------------------------------
    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: Mapping[int, float] | None = None,
        return_dict: bool = False,
    ) -> Any:
        """One training step; gives loss and metrics of the batch."""
        self._need_compile()
        if class_weight is not None:
            sample_weight = weights_of_classes(class_weight, y, sample_weight)
        return self._on_batch("train", x, y, sample_weight, return_dict)

    def test_on_batch(self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False) -> Any:
        """Loss and metrics of a batch."""
        self._need_compile()
        return self._on_batch("test", x, y, sample_weight, return_dict)

    def _on_batch(self, kind: str, x: Any, y: Any, sample_weight: Any, return_dict: bool) -> Any:
        batch = Arrays(x, y, sample_weight, None, False).whole()
        check_data(self, *batch)
        self._mode(kind == "train")
        self.reset_metrics()
        found = self._run(kind, batch)
        logs = self._logs() if found is None else plain_logs(found)
        self._mode(False)
        values = list(logs.values())
        return logs if return_dict else values[0] if len(values) == 1 else values

    def predict_on_batch(self, x: Any) -> Any:
        """The outputs for one batch, as NumPy arrays."""
        return self.predict(x, batch_size=max(len(np.asarray(v)) for v in flatten(x)[0]))
