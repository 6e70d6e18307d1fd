"""Networks that are no perceptrons, for labelled trainings of `train`: images (n, channels, 8, 8) -> logits.

Their arguments are what the changes of `draw.py` set, and what a remedy in PyTorch's words would change in such code.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky-relu": nn.LeakyReLU,
    "gelu": nn.GELU,
    "elu": nn.ELU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}


def norm_of(name: str, channels: int) -> nn.Module:
    return {"batch": nn.BatchNorm2d(channels), "layer": nn.GroupNorm(1, channels)}.get(name, nn.Identity())


class Ending(nn.Module):
    """The head: dropout, a linear layer, and what should not be there: a softmax, a cut."""

    def __init__(self, inputs: int, classes: int, dropout: float, softmax: bool, cut: bool) -> None:
        super().__init__()
        self.drop, self.linear, self.softmax, self.cut = (
            nn.Dropout(dropout),
            nn.Linear(inputs, classes),
            softmax,
            cut,
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.linear(self.drop(x.detach() if self.cut else x))
        return out.softmax(1) if self.softmax else out


# --- families of the design half --------------------------------------------------------------------------------


class CNN(nn.Module):
    """`depth` convolutions with `norm` and an activation each, two of them pooled, and a hidden layer."""

    def __init__(
        self,
        channels: int,
        classes: int,
        width: int = 12,
        depth: int = 2,
        activation: str = "relu",
        norm: str = "none",
        dropout: float = 0.0,
        softmax: bool = False,
        cut: bool = False,
    ) -> None:
        super().__init__()
        act, layers = ACTIVATIONS[activation], list[nn.Module]()
        for number in range(depth):
            layers += [nn.Conv2d(width if number else channels, width, 3, padding=1), norm_of(norm, width), act()]
            layers += [nn.MaxPool2d(2)] if number < 2 else []
        self.features = nn.Sequential(
            *layers, nn.Flatten(), nn.Linear(width * (64 >> 2 * min(depth, 2)), 32), act()
        )
        self.head = Ending(32, classes, dropout, softmax, cut)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))  # type: ignore[no-any-return]


class Residual(nn.Module):
    """`depth` blocks of two convolutions with a skip connection."""

    def __init__(
        self,
        channels: int,
        classes: int,
        width: int = 12,
        depth: int = 2,
        activation: str = "relu",
        norm: str = "batch",
        dropout: float = 0.0,
        softmax: bool = False,
        cut: bool = False,
    ) -> None:
        super().__init__()
        self.stem, self.act = nn.Conv2d(channels, width, 3, padding=1), ACTIVATIONS[activation]()
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(width, width, 3, padding=1), norm_of(norm, width), self.act,
                nn.Conv2d(width, width, 3, padding=1), norm_of(norm, width),
            )
            for _ in range(depth)
        )  # fmt: skip
        self.pool = nn.AdaptiveAvgPool2d(4)
        self.head = Ending(16 * width, classes, dropout, softmax, cut)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.stem(x))
        for block in self.blocks:
            x = self.act(x + block(x))
        return self.head(self.pool(x).flatten(1))  # type: ignore[no-any-return]


class Recurrent(nn.Module):
    """A recurrent network over the rows of an image, or over its pixels; its last output decides."""

    kind = "LSTM"

    def __init__(
        self,
        channels: int,
        classes: int,
        width: int = 32,
        depth: int = 1,
        dropout: float = 0.0,
        plain: bool = False,
        pixels: bool = False,
        softmax: bool = False,
        cut: bool = False,
    ) -> None:
        super().__init__()
        kind = nn.RNN if plain else getattr(nn, self.kind)
        self.pixels, self.rnn = pixels, kind(1 if pixels else 8 * channels, width, depth, batch_first=True)
        self.head = Ending(width, classes, dropout, softmax, cut)

    def rows(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.rows(x)
        out, _ = self.rnn(x.reshape(len(x), -1, 1) if self.pixels else x.flatten(2))
        return self.head(out[:, -1])  # type: ignore[no-any-return]


class Transformer(nn.Module):
    """An encoder over the rows of an image, and the mean of its outputs."""

    def __init__(
        self,
        channels: int,
        classes: int,
        width: int = 32,
        depth: int = 2,
        dropout: float = 0.0,
        activation: str = "gelu",
        softmax: bool = False,
        cut: bool = False,
    ) -> None:
        super().__init__()
        self.embed = nn.Linear(8 * channels, width)
        self.place = nn.Parameter(0.02 * torch.randn(1, 8, width))
        block = nn.TransformerEncoderLayer(
            width, 4, 2 * width, dropout, activation, batch_first=True, norm_first=True
        )
        self.blocks = nn.TransformerEncoder(block, depth, nn.LayerNorm(width), enable_nested_tensor=False)
        self.head = Ending(width, classes, dropout, softmax, cut)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.embed(x.transpose(1, 2).flatten(2))
        return self.head(self.blocks(tokens + self.place).mean(1))  # type: ignore[no-any-return]


# --- families of the held-out half ------------------------------------------------------------------------------


class Gated(Recurrent):
    """A GRU over the columns of an image."""

    kind = "GRU"

    def rows(self, x: Tensor) -> Tensor:
        return x.permute(0, 3, 1, 2)


class Mixer(nn.Module):
    """Perceptrons over patches and over channels in turn (MLP-Mixer)."""

    def __init__(
        self,
        channels: int,
        classes: int,
        width: int = 24,
        depth: int = 2,
        dropout: float = 0.0,
        activation: str = "gelu",
        softmax: bool = False,
        cut: bool = False,
    ) -> None:
        super().__init__()
        self.embed, act = nn.Conv2d(channels, width, 2, 2), ACTIVATIONS[activation]
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2 * depth))
        self.across = nn.ModuleList(
            nn.Sequential(nn.Linear(16, 32), act(), nn.Linear(32, 16)) for _ in range(depth)
        )
        self.within = nn.ModuleList(
            nn.Sequential(nn.Linear(width, 2 * width), act(), nn.Linear(2 * width, width)) for _ in range(depth)
        )
        self.head = Ending(width, classes, dropout, softmax, cut)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x).flatten(2).transpose(1, 2)
        for number, (across, within) in enumerate(zip(self.across, self.within, strict=True)):
            x = x + across(self.norms[2 * number](x).transpose(1, 2)).transpose(1, 2)
            x = x + within(self.norms[2 * number + 1](x))
        return self.head(x.mean(1))  # type: ignore[no-any-return]
