"""The published loop, as its notebook wrote it: two DataLoaders, ToTensor's arithmetic, one `.item()` per batch.

The oracle that optilab's engine is compared with, and the baseline of the benchmark.
"""

import time
from itertools import pairwise
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision.datasets import FashionMNIST
from torchvision.transforms import ToTensor


def pictures(images, labels):
    """torchvision's FashionMNIST over arrays that are in memory; its own code makes and converts each image."""
    dataset = FashionMNIST.__new__(FashionMNIST)  # without its search for files
    dataset.data, dataset.targets = torch.tensor(images), torch.tensor(labels, dtype=torch.int64)
    dataset.transform, dataset.target_transform = ToTensor(), None
    return dataset


def sigmoid_network():
    """784-128-128-128-128-128-10, a sigmoid after each hidden layer, torch's default initialisation."""
    widths = [784, 128, 128, 128, 128, 128, 10]
    layers = [nn.Flatten()]
    for fan_in, fan_out in pairwise(widths):
        layers += [nn.Linear(fan_in, fan_out), nn.Sigmoid()]
    return nn.Sequential(*layers[:-1])


def notebook_loop(arrays, epochs, seed=42, batch_size=512, lr=0.01, device="cpu"):
    """Train and validate; (rows of floats, seconds per epoch, model). `arrays`: train x, y, test x, y (uint8)."""
    torch.manual_seed(seed)
    train = DataLoader(pictures(*arrays[:2]), batch_size=batch_size, shuffle=True)
    test = DataLoader(pictures(*arrays[2:]), batch_size=batch_size, shuffle=False)
    model = sigmoid_network().to(device)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    rows, seconds = [], []
    for epoch in range(1, epochs + 1):
        started = time.perf_counter()
        model.train()
        train_loss, train_right, train_count = 0.0, 0, 0
        for x, y in train:
            x, y = x.to(device), y.to(device)
            optimizer.zero_grad()
            logits = model(x)
            loss = criterion(logits, y)
            loss.backward()
            optimizer.step()
            train_loss += loss.item()
            train_right += (logits.argmax(dim=1) == y).sum().item()
            train_count += y.size(0)
        model.eval()
        val_loss, val_right, val_count = 0.0, 0, 0
        with torch.no_grad():
            for x, y in test:
                x, y = x.to(device), y.to(device)
                logits = model(x)
                val_loss += criterion(logits, y).item()
                val_right += (logits.argmax(dim=1) == y).sum().item()
                val_count += y.size(0)
        rows.append(
            {
                "epoch": epoch,
                "train_loss": train_loss / len(train),
                "train_acc": train_right / train_count,
                "val_loss": val_loss / len(test),
                "val_acc": val_right / val_count,
            }
        )
        seconds.append(time.perf_counter() - started)
    return rows, seconds, model


def fashion_mnist(folder: Path | None = None):
    """The four arrays of the real dataset, found or fetched as optilab does."""
    from optilab.data import fetch

    dataset = fetch.load_or_fetch("fashion-mnist", folder)
    return dataset, (dataset.train_images, dataset.train_labels, dataset.test_images, dataset.test_labels)
