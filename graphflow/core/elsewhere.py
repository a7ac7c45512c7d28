"""Names that users of other libraries look for in ``gf``, and what they are here: for the error that they would get."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

ELSEWHERE = {  # TensorFlow 1, PyTorch, Keras
    "Adam": "gf.optim.Adam",
    "ConfigProto": "gf.config",
    "DataLoader": "gf.data.DataLoader",
    "FloatTensor": "gf.tensor(..., dtype=gf.float32)",
    "GradientTape": "loss.backward(), or gf.gradients(loss, variables)",
    "LongTensor": "gf.tensor(..., dtype=gf.int64)",
    "Model": "gf.keras.Model",
    "Module": "gf.nn.Module",
    "Print": "gf.print",
    "Size": "tuple",
    "SGD": "gf.optim.SGD",
    "Sequential": "gf.nn.Sequential, or gf.keras.Sequential",
    "TensorDataset": "gf.data.TensorDataset",
    "amp": "gf.autocast and gf.train.GradScaler",
    "backends": "gf.config, and there is the CPU so far",
    "byte": "gf.uint8",
    "convert_to_tensor": "gf.tensor",
    "cuda": "device='cpu', there is the CPU so far",
    "distributions": "gf.random",
    "functional": "gf.nn.functional",
    "get_variable": "gf.Variable",
    "global_variables": "graph.variables()",
    "initialize_all_variables": "gf.global_variables_initializer",
    "jit": "gf.compile",
    "layers": "gf.nn, or gf.keras.layers",
    "losses": "gf.nn.functional, or gf.keras.losses",
    "optimizers": "gf.optim, or gf.keras.optimizers",
    "py_func": "gf.custom_op",
    "range": "gf.arange",
    "shape": "x.shape",
    "set_default_device": "device='cpu', there is the CPU so far",
    "set_default_dtype": "dtype=..., in the functions and layers that should differ from float32",
    "get_rng_state": "gf.random.default_generator.get_state()",
    "set_printoptions": "np.set_printoptions",
    "set_rng_state": "gf.random.default_generator.set_state(...)",
    "set_num_threads": "gf.config(num_threads=...)",
    "size": "x.size",
    "summary": "gf.viz.SummaryWriter, or gf.viz.summary",
    "to_float": "x.astype(gf.float32)",
    "trainable_variables": "model.parameters(), or graph.variables()",
    "utils": "gf.nn.utils, or gf.keras.utils",
    "variable_scope": "Python objects that are shared: layers hold their parameters",
}


KERAS = {  # the same for gf.keras and gf.keras.layers
    "RandomBrightness": "gf.data.transforms.ColorJitter, in the data pipeline",
    "RandomContrast": "gf.data.transforms.ColorJitter, in the data pipeline",
    "RandomCrop": "gf.data.transforms.RandomCrop, in the data pipeline",
    "RandomFlip": "gf.data.transforms.RandomHorizontalFlip, in the data pipeline",
    "RandomRotation": "gf.data.transforms.RandomRotation, in the data pipeline",
    "RandomTranslation": "gf.data.transforms.RandomAffine, in the data pipeline",
    "RandomZoom": "gf.data.transforms.RandomResizedCrop, in the data pipeline",
    "applications": "gf.models, without weights",
    "datasets": "gf.datasets: load_digits() needs no network, load_mnist(folder) reads the files of MNIST",
    "mixed_precision": "gf.autocast, and gf.train's precision policies",
}


def hint(name: str, names: Iterable[str], table: Mapping[str, str] = ELSEWHERE) -> str:
    """What to use in place of a name that is not there: what it is here, or names like it."""
    if name in table:
        return f"; here it is {table[name]}"
    import difflib  # only errors need it

    close = difflib.get_close_matches(name, names, 3)
    return f"; did you mean {', '.join(close)}?" if close and not name.startswith("_") else ""
