"""Reference models, each in a short file to read and to change.

>>> import graphflow as gf
>>> gf.models.LeNet(num_classes=3)(gf.zeros((1, 1, 28, 28))).shape
(1, 3)
"""

from __future__ import annotations

from graphflow.models.autoencoder import VAE, Autoencoder, vae_loss
from graphflow.models.gan import GAN
from graphflow.models.gpt import GPT
from graphflow.models.lenet import LeNet
from graphflow.models.mobilenet import MobileNetV2, mobilenet_v2
from graphflow.models.recommender import DeepFM, MatrixFactorization
from graphflow.models.resnet import ResNet, resnet8, resnet18, resnet20, resnet34
from graphflow.models.sequence import GRUClassifier, LSTMClassifier, Seq2Seq
from graphflow.models.transformer import TransformerClassifier, TransformerSeq2Seq
from graphflow.models.vgg import VGG, vgg11, vgg16
from graphflow.models.vit import ViT
