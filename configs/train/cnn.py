"""The network of cnn.yaml: an example of one of your own."""

from torch import Tensor, nn


class CNN(nn.Module):
    """Convolutions of 3 x 3 with ReLU, each but the last followed by pooling; then one linear layer.

    `channels` and `classes` have no default, so they are those of the dataset. `width` and `depth` are keys of the
    config.
    """

    def __init__(self, channels: int, classes: int, width: int = 16, depth: int = 3) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for number in range(depth):
            layers += [nn.MaxPool2d(2)] if number else []
            layers += [nn.Conv2d(channels, width * 2**number, 3, padding=1), nn.ReLU()]
            channels = width * 2**number
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(channels, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Images (n, channels, height, width) -> logits (n, classes)."""
        logits: Tensor = self.head(self.features(images).mean((2, 3)))
        return logits
