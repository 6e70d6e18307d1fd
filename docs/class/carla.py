# Carla: the step API of the library.
from dataclasses import dataclass

import numpy as np


@dataclass
class Adam:
    lr: float = 0.001
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8

    def init(self, x):
        return 0 * x, 0 * x, 0

    def update(self, g, state):
        V, S, t = state
        V, S, t = self.beta1 * V + (1 - self.beta1) * g, self.beta2 * S + (1 - self.beta2) * g * g, t + 1
        root = np.sqrt(S / (1 - self.beta2**t)) + self.eps
        return -self.lr * V / (1 - self.beta1**t) / root, (V, S, t)
