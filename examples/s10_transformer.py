"""S10. A transformer that reads: sentences with brackets, and whether every bracket is closed by its own kind.

python examples/s10_transformer.py [--epochs 12]
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from timing import compare

import graphflow as gf
from graphflow import nn

LENGTH, TOKENS = 12, "()[]ab"


class Classifier(nn.Module):
    def __init__(self, width: int = 32, heads: int = 4, layers: int = 2) -> None:
        super().__init__()
        self.tokens = nn.Embedding(len(TOKENS) + 1, width)
        self.places = nn.Parameter(0.02 * gf.random.normal((LENGTH, width)))
        layer = nn.TransformerEncoderLayer(width, heads, 2 * width, dropout=0.0, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, layers)
        self.head = nn.Linear(width, 1)

    def forward(self, ids: Any) -> Any:
        return self.head(self.encoder(self.tokens(ids) + self.places).mean(dim=1))


def is_closed(text: str) -> bool:
    """Whether each bracket has its partner."""
    for _ in range(LENGTH):
        text = text.replace("a", "").replace("b", "").replace("()", "").replace("[]", "")
    return not text


def make_texts(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Token ids (count, LENGTH), 0 behind the end, and labels (count, 1); half of the texts are closed."""
    random = np.random.default_rng(0)

    def closed(size: int) -> str:
        if size < 2:
            return "ab"[random.integers(2)] * size
        inner = int(random.integers(0, size - 1))
        left, right = ("()", "[]")[random.integers(2)]
        return left + closed(inner) + right + closed(size - 2 - inner)

    texts = []
    while len(texts) < count:
        text = closed(int(random.integers(6, LENGTH + 1)))
        if random.integers(2):
            at = int(random.integers(len(text)))
            text = text[:at] + TOKENS[random.integers(4)] + text[at + 1 :]
        texts.append(text)
    ids = [[TOKENS.index(c) + 1 for c in text] + [0] * (LENGTH - len(text)) for text in texts]
    return np.array(ids), np.array([[is_closed(text)] for text in texts], np.float32)


def main(argv: list[str] | None = None) -> float:
    """Train, print the accuracy on unseen texts and the time of a step; gives the accuracy."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=12)
    options = parser.parse_args(argv)
    gf.random.seed(0)
    x, y = make_texts(4000)
    at = 3200
    model = Classifier()
    print(gf.viz.summary(model, gf.TensorSpec((None, LENGTH), gf.int64)))
    criterion = nn.BCEWithLogitsLoss()
    optimizer = gf.optim.AdamW(model.parameters(), lr=2e-3)

    def train_step(ids: Any, labels: Any) -> Any:
        loss = criterion(model(ids), labels)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        return loss

    compiled = gf.compile(train_step)
    loader = gf.data.DataLoader(gf.data.TensorDataset(x[:at], y[:at]), batch_size=64, shuffle=True)
    for epoch in range(options.epochs):
        bar = gf.viz.Progress(loader, f"epoch {epoch + 1}/{options.epochs}")
        for ids, labels in bar:
            bar.show(loss=compiled(ids, labels))
    model.eval()
    with gf.no_grad():
        result = float(((model(gf.tensor(x[at:])).numpy() > 0) == y[at:]).mean())
    model.train()
    print(f"{result:.1%} of unseen texts right, {max(y.mean(), 1 - y.mean()):.1%} by always saying the same")
    ids, labels = next(iter(loader))
    compare(compiled=lambda: compiled(ids, labels), eager=lambda: train_step(ids, labels))
    return result


if __name__ == "__main__":
    main()
