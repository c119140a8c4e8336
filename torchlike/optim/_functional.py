"""The functional forms of all optimizers in one place."""

from torchlike.optim._adafactor import adafactor as adafactor
from torchlike.optim.adadelta import adadelta as adadelta
from torchlike.optim.adagrad import adagrad as adagrad
from torchlike.optim.adam import adam as adam
from torchlike.optim.adamax import adamax as adamax
from torchlike.optim.adamw import adamw as adamw
from torchlike.optim.asgd import asgd as asgd
from torchlike.optim.nadam import nadam as nadam
from torchlike.optim.radam import radam as radam
from torchlike.optim.rmsprop import rmsprop as rmsprop
from torchlike.optim.rprop import rprop as rprop
from torchlike.optim.sgd import sgd as sgd
from torchlike.optim.sparse_adam import sparse_adam as sparse_adam
