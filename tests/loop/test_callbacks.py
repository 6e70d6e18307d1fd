"""The callbacks of Lightning and of Transformers, with the real packages where they are installed.

`pip install lightning transformers accelerate` (about 200 MB): the nightly set does it.
"""

import warnings
from types import SimpleNamespace

import pytest
import torch
from torch import nn

import optilab
from optilab.loop import callbacks


def test_callbacks_with_metrics_that_are_wrong(monkeypatch):
    """With a stand-in for both packages: a wrong metric is named in the diagnosis and does not end the training."""
    monkeypatch.setattr(
        callbacks, "import_module", lambda name: SimpleNamespace(Callback=object, TrainerCallback=object)
    )
    lightning, transformers = optilab.watch.lightning(), optilab.watch.transformers()
    net = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(net.parameters())
    lightning.on_train_start(SimpleNamespace(optimizers=[optimizer]), net)
    lightning.on_train_epoch_end(
        SimpleNamespace(callback_metrics={"epoch": 1.0, "val_acc": torch.tensor(85.0)}), net
    )
    transformers.on_train_begin(None, None, None, model=net, optimizer=optimizer)
    transformers.on_evaluate(None, None, None, metrics={"eval_accuracy": {"accuracy": 0.5}})
    transformers.on_train_end(None, None, None)
    lightning.on_exception(None, net, ValueError())
    assert not optimizer._optimizer_step_post_hooks
    for callback, got in ((lightning, "85.0"), (transformers, "a mapping")):
        assert f"expected a fraction from 0 to 1, got {got}" in str(callback.watch.diagnosis())


@pytest.mark.nightly
@pytest.mark.parametrize("faulty", [False, True], ids=["healthy", "softmax twice"])
def test_a_training_of_lightning(faulty, tmp_path):
    warnings.simplefilter("ignore")
    import pytorch_lightning as lightning

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            end = [nn.Softmax(1)] if faulty else []
            self.net = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3), *end)

        def forward(self, x):
            return self.net(x)

        def training_step(self, batch, number):
            return nn.functional.cross_entropy(self(batch[0]), batch[1])

        def validation_step(self, batch, number):
            answers = self(batch[0])
            self.log("val_loss", nn.functional.cross_entropy(answers, batch[1]))
            self.log("val_acc", (answers.argmax(1) == batch[1]).float().mean())

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters(), 1e-2)

    torch.manual_seed(0)
    x = torch.randn(320, 6)
    data = torch.utils.data.TensorDataset(x, (x[:, 0] > 0).long() + (x[:, 1] > 0).long())
    loader = torch.utils.data.DataLoader(data, 16, shuffle=True)
    callback = optilab.watch.lightning()
    trainer = lightning.Trainer(
        max_epochs=6, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, callbacks=[callback], default_root_dir=tmp_path,
    )  # fmt: skip
    trainer.fit(Module(), loader, loader)
    evidence = callback.watch.evidence()
    assert not evidence.loop.error
    assert (evidence.steps, len(evidence.rows)) == (120, 6)
    assert {"val_loss", "val_acc"} <= evidence.rows[-1].keys()
    assert [finding.name for finding in callback.watch.diagnosis().findings] == ["softmax-twice"] * faulty


@pytest.mark.nightly
@pytest.mark.parametrize("faulty", [False, True], ids=["healthy", "rate too high"])
def test_a_training_of_transformers(faulty, tmp_path):
    warnings.simplefilter("ignore")
    import transformers

    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=20, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=16, num_labels=3,
    )  # fmt: skip
    ids = torch.randint(0, 20, (320, 8))
    labels = (ids < 7).sum(1).clamp(1, 3) - 1
    data = [{"input_ids": i, "labels": label} for i, label in zip(ids, labels, strict=True)]
    callback = optilab.watch.transformers()
    arguments = transformers.TrainingArguments(
        str(tmp_path), num_train_epochs=6, per_device_train_batch_size=16, learning_rate=3.0 if faulty else 2e-3,
        report_to=[], disable_tqdm=True, save_strategy="no", use_cpu=True, eval_strategy="epoch",
        logging_strategy="no",
    )  # fmt: skip
    model = transformers.BertForSequenceClassification(config)
    trainer = transformers.Trainer(
        model, arguments, train_dataset=data, eval_dataset=data[:64], callbacks=[callback]
    )
    trainer.train()
    evidence = callback.watch.evidence()
    assert not evidence.loop.error
    assert (evidence.steps, len(evidence.rows)) == (120, 6)
    assert "val_loss" in evidence.rows[-1]
    names = [finding.name for finding in callback.watch.diagnosis().findings if finding.severity > 0]
    assert names[:1] == ["learning-rate-too-high"] * faulty
