# Ana: a class with state.
import numpy as np


class Adam:
    def __init__(self, lr=0.001, beta1=0.9, beta2=0.999, eps=1e-8):
        self.lr, self.beta1, self.beta2, self.eps = lr, beta1, beta2, eps
        self.V = self.S = 0.0
        self.t = 0

    def update(self, w, g):
        self.t += 1
        self.V = self.beta1 * self.V + (1 - self.beta1) * g
        self.S = self.beta2 * self.S + (1 - self.beta2) * g**2
        v = self.V / (1 - self.beta1**self.t)
        s = self.S / (1 - self.beta2**self.t)
        return w - self.lr * v / (np.sqrt(s) + self.eps)
