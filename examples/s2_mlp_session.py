"""S2. A 784-64-10 network as in TensorFlow 1: dense layers, softmax cross-entropy with logits, Adam, a Saver.

python examples/s2_mlp_session.py [--epochs 10]
"""

from __future__ import annotations

import argparse
import os
import tempfile

import numpy as np
from timing import compare

import graphflow as gf


def main(argv: list[str] | None = None) -> float:
    """Train, save, restore; print the accuracy and the time of a step. Gives the restored network's accuracy."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=10)
    options = parser.parse_args(argv)

    folder = tempfile.mkdtemp()
    gf.datasets.digits_as_mnist(folder)
    images, labels = gf.datasets.load_mnist(folder, "train", flatten=True)
    test_images, test_labels = gf.datasets.load_mnist(folder, "test", flatten=True)

    gf.set_random_seed(0)
    with gf.Graph().as_default() as graph:
        x = gf.placeholder(gf.float32, [None, 784], name="x")
        y = gf.placeholder(gf.int64, [None], name="y")
        hidden, output = gf.nn.Linear(784, 64), gf.nn.Linear(64, 10)
        logits = output(gf.nn.relu(hidden(x)))
        loss = gf.reduce_mean(gf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=logits))
        accuracy = gf.reduce_mean(gf.cast(gf.nn.in_top_k(logits, y, 1), gf.float32))
        train_op = gf.train.AdamOptimizer(1e-3).minimize(loss)
        saver = gf.train.Saver()
        init = gf.global_variables_initializer()

    order = np.random.default_rng(0)
    with gf.Session(graph) as sess:
        sess.run(init)
        for epoch in range(options.epochs):
            for rows in np.array_split(order.permutation(len(images)), len(images) // 64):
                _, value = sess.run([train_op, loss], feed_dict={x: images[rows], y: labels[rows]})
            score = sess.run(accuracy, feed_dict={x: test_images, y: test_labels})
            print(f"epoch {epoch + 1}: loss {value:.4f}, test accuracy {score:.2%}")
        path = saver.save(sess, os.path.join(folder, "mlp"), global_step=options.epochs)

    with gf.Session(graph) as sess:
        sess.run(init)
        fresh = sess.run(accuracy, feed_dict={x: test_images, y: test_labels})
        saver.restore(sess, path)
        result = float(sess.run(accuracy, feed_dict={x: test_images, y: test_labels}))
        print(f"before restore {fresh:.2%}, after {result:.2%}")

        batch = {x: images[:64], y: labels[:64]}
        optimizer = gf.optim.Adam([*hidden.parameters(), *output.parameters()], lr=1e-3)

        def eager_step() -> None:
            scores = output(gf.nn.relu(hidden(gf.tensor(images[:64]))))
            value = gf.reduce_mean(gf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels[:64], logits=scores))
            optimizer.zero_grad()
            value.backward()
            optimizer.step()

        compare(compiled=lambda: sess.run(train_op, feed_dict=batch), eager=eager_step)
    return result


if __name__ == "__main__":
    main()
