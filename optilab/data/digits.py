"""scikit-learn's digits: 1,797 images of 8 x 8 that ship with the package, so nothing is fetched.

The last 360 are the test set, as `train_test_split(test_size=0.2, shuffle=False)` has it: other people wrote them. The
values 0 to 16 are scaled to 0 to 255, rounded to the nearest integer.

Source: the test set of Alpaydin and Kaynak 1998, https://archive.ics.uci.edu/dataset/80.
"""

from pathlib import Path

import numpy as np

from optilab.data.reading import ReadDataset
from optilab.data.sources import DatasetInfo
from optilab.data.synthetic import checked
from optilab.errors import UsageError


def read(info: DatasetInfo, folder: Path | None) -> ReadDataset:
    """The two sets, compared with their digests. UsageError without scikit-learn."""
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise UsageError(
            f"dataset {info.name} is in scikit-learn, which is not installed: pip install 'optilab[digits]'"
        ) from None
    found = load_digits()
    images = np.rint(found.images * (255 / 16)).astype(np.uint8)
    labels = found.target.astype(np.uint8)
    cut = info.train
    return checked(
        info, (images[:cut], labels[:cut], images[cut:], labels[cut:]), "another release of scikit-learn"
    )
