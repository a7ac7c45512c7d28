"""S1. Softmax regression as in TensorFlow 1's first tutorial: placeholders, a Session, gradient descent.

    python examples/s1_softmax_regression.py [--steps 1000]

The digits that come with the package are written as MNIST's files and read back, so this is 784 pixels to ten classes.
"""

from __future__ import annotations

import argparse
import tempfile

import numpy as np
from timing import compare

import graphflow as gf


def main(argv: list[str] | None = None) -> float:
    """Train, print the accuracy and the time of a step; gives the accuracy on the test digits."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1000)
    options = parser.parse_args(argv)

    with tempfile.TemporaryDirectory() as folder:
        gf.datasets.digits_as_mnist(folder)
        images, labels = gf.datasets.load_mnist(folder, "train", flatten=True)
        test_images, test_labels = gf.datasets.load_mnist(folder, "test", flatten=True)
    one_hot, test_one_hot = np.eye(10, dtype=np.float32)[labels], np.eye(10, dtype=np.float32)[test_labels]

    x = gf.placeholder(gf.float32, [None, 784])
    W = gf.Variable(gf.zeros([784, 10]))
    b = gf.Variable(gf.zeros([10]))
    y = gf.nn.softmax(gf.matmul(x, W) + b)
    y_ = gf.placeholder(gf.float32, [None, 10])

    cross_entropy = gf.reduce_mean(-gf.reduce_sum(y_ * gf.log(y), reduction_indices=[1]))
    train_step = gf.train.GradientDescentOptimizer(0.5).minimize(cross_entropy)

    sess = gf.Session()
    sess.run(gf.global_variables_initializer())
    order = np.random.default_rng(0)
    for _ in range(options.steps):
        rows = order.integers(0, len(images), 100)
        sess.run(train_step, feed_dict={x: images[rows], y_: one_hot[rows]})

    correct_prediction = gf.equal(gf.argmax(y, 1), gf.argmax(y_, 1))
    accuracy = gf.reduce_mean(gf.cast(correct_prediction, gf.float32))
    result = float(sess.run(accuracy, feed_dict={x: test_images, y_: test_one_hot}))
    print(f"accuracy {result:.2%} after {options.steps} steps")

    batch = {x: images[:100], y_: one_hot[:100]}
    optimizer = gf.optim.SGD([W, b], lr=0.5)

    def eager_step() -> None:
        probabilities = gf.nn.softmax(gf.matmul(images[:100], W) + b)
        loss = gf.reduce_mean(-gf.reduce_sum(one_hot[:100] * gf.log(probabilities), 1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    compare(compiled=lambda: sess.run(train_step, feed_dict=batch), eager=eager_step)
    return result


if __name__ == "__main__":
    main()
