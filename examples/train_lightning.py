"""PyTorch Lightning with MLflow's autologger."""

import lightning
import mlflow
import torch
from sklearn.datasets import load_digits
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset, random_split


class Classifier(lightning.LightningModule):
    """One hidden layer."""

    def __init__(self, hidden: int = 64, lr: float = 0.01) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(64, hidden), torch.nn.ReLU(), torch.nn.Linear(hidden, 10)
        )

    def training_step(self, batch, _):
        loss = functional.cross_entropy(self.layers(batch[0]), batch[1])
        self.log("train_loss", loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch, _):
        self.log(
            "val_accuracy",
            (self.layers(batch[0]).argmax(dim=1) == batch[1]).float().mean(),
            prog_bar=True,
        )

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=self.hparams.lr)


mlflow.pytorch.autolog()
lightning.seed_everything(0)
images, digits = load_digits(return_X_y=True)
train, valid = random_split(
    TensorDataset(torch.tensor(images / 16).float(), torch.tensor(digits)), [0.75, 0.25]
)
trainer = lightning.Trainer(
    max_epochs=4,
    accelerator="cpu",
    logger=False,
    enable_checkpointing=False,
    enable_progress_bar=False,
)
trainer.fit(Classifier(), DataLoader(train, 64, shuffle=True), DataLoader(valid, 64))
