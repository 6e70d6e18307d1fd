# Ben: a function, whose state is what it returns.
import numpy as np


def Adam(w, g, t, lr, beta1, beta2, eps, V, S):
    V = beta1 * V + (1 - beta1) * g
    S = beta2 * S + (1 - beta2) * g**2
    return w - lr * V / (1 - beta1**t) / (np.sqrt(S / (1 - beta2**t)) + eps), V, S
