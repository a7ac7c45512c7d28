"""S5. What a review thinks: an embedding and an LSTM with binary cross-entropy, in the style of Keras and of PyTorch.

    python examples/s5_lstm_text.py [--epochs 6]

The reviews are generated; some say "not", which turns the word behind it round, so that counting words is not enough.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from timing import compare

import graphflow as gf
from graphflow import keras, nn
from graphflow.keras.utils import Tokenizer, pad_sequences

GOOD = ["wonderful", "brilliant", "charming", "funny", "moving", "great", "superb", "clever"]
BAD = ["dull", "boring", "awful", "clumsy", "tedious", "terrible", "weak", "silly"]
THINGS = ["film", "plot", "story", "acting", "music", "ending", "cast", "camera", "dialogue", "pace"]
LENGTH = 16


def make_reviews(count: int = 1200) -> tuple[list[str], np.ndarray]:
    """Texts, and whether they are in favour."""
    random = np.random.default_rng(0)
    texts, labels = [], []
    for _ in range(count):
        good = bool(random.integers(2))
        parts = []
        for thing in random.choice(THINGS, random.integers(1, 4), replace=False):
            turned = random.uniform() < 0.4
            word = random.choice(GOOD if good != turned else BAD)
            parts.append(f"the {thing} was {'not ' if turned else ''}{word}")
        texts.append(" and ".join(parts))
        labels.append(good)
    return texts, np.array(labels, np.float32)[:, None]


# -- Keras -------------------------------------------------------------------------------------------------------------
def keras_style(x: np.ndarray, y: np.ndarray, test: Any, words: int, epochs: int) -> float:
    """An Embedding that masks the padding, an LSTM, compile and fit; gives the accuracy."""
    model = keras.Sequential(
        [
            keras.Input((LENGTH,), dtype="int64"),
            keras.layers.Embedding(words, 16, mask_zero=True),
            keras.layers.LSTM(24),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(optimizer=keras.optimizers.Adam(0.01), loss="binary_crossentropy", metrics=["accuracy"])
    model.fit(x, y, epochs=epochs, batch_size=32, verbose=0)
    return float(model.evaluate(*test, verbose=0)[1])


# -- PyTorch -----------------------------------------------------------------------------------------------------------
class Classifier(nn.Module):
    def __init__(self, words: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, 16, padding_idx=0)
        self.lstm = nn.LSTM(16, 24, batch_first=True)
        self.fc = nn.Linear(24, 1)

    def forward(self, tokens: Any) -> Any:
        _, (hidden, _) = self.lstm(self.embedding(tokens))
        return self.fc(hidden[-1])


def pytorch_style(x: np.ndarray, y: np.ndarray, test: Any, words: int, epochs: int) -> float:
    """A Module and a training step; prints the time of a step, gives the accuracy."""
    model = Classifier(words)
    criterion = nn.BCEWithLogitsLoss()
    optimizer = gf.optim.Adam(model.parameters(), lr=0.01)

    def train_step(tokens: Any, labels: Any) -> Any:
        optimizer.zero_grad()
        loss = criterion(model(tokens), labels)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss

    compiled = gf.compile(train_step)
    loader = gf.data.DataLoader(gf.data.TensorDataset(x, y), batch_size=32, shuffle=True, drop_last=True)
    for _ in range(epochs):
        for tokens, labels in loader:
            compiled(tokens, labels)
    with gf.no_grad():
        right = (model(gf.tensor(test[0])).numpy() > 0) == test[1]
    tokens, labels = next(iter(loader))
    compare(compiled=lambda: compiled(tokens, labels), eager=lambda: train_step(tokens, labels))
    return float(right.mean())


def main(argv: list[str] | None = None) -> dict[str, float]:
    """Train in both styles and print the accuracies on texts that were not seen; gives them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=6)
    options = parser.parse_args(argv)
    gf.random.seed(0)
    texts, y = make_reviews()
    print(f"for example: {texts[0]!r} is {'in favour' if y[0, 0] else 'against'}")
    tokenizer = Tokenizer()
    tokenizer.fit_on_texts(texts)
    words = len(tokenizer.word_index) + 1
    sequences = tokenizer.texts_to_sequences(texts)
    # Padding in front: what the LSTM of the PyTorch style reads last is text.
    x = pad_sequences(sequences, maxlen=LENGTH, padding="pre", truncating="pre").astype(np.int64)
    after = pad_sequences(sequences, maxlen=LENGTH, padding="post", truncating="post").astype(np.int64)
    at = len(x) * 4 // 5
    results = {
        "Keras": keras_style(after[:at], y[:at], (after[at:], y[at:]), words, options.epochs),
        "PyTorch": pytorch_style(x[:at], y[:at], (x[at:], y[at:]), words, options.epochs),
    }
    for name, score in results.items():
        print(f"{name:8} {score:.1%} of unseen reviews right")
    return results


if __name__ == "__main__":
    main()
