"""A plain PyTorch loop: one line of gitexp's logs it, and nothing else of the script knows of
it."""

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch.nn import functional

import gitexp

torch.manual_seed(0)
images, digits = load_digits(return_X_y=True)
split = train_test_split(
    torch.tensor(images / 16).float(), torch.tensor(digits), test_size=0.25, random_state=0
)
train_x, test_x, train_y, test_y = split

lr, hidden, epochs = 0.1, 64, 5
gitexp.log_params({"lr": lr, "hidden": hidden, "epochs": epochs})
model = torch.nn.Sequential(
    torch.nn.Linear(64, hidden), torch.nn.ReLU(), torch.nn.Linear(hidden, 10)
)
optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)

for epoch in range(epochs):
    for batch in torch.randperm(len(train_x)).split(64):
        loss = functional.cross_entropy(model(train_x[batch]), train_y[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        accuracy = (model(test_x).argmax(dim=1) == test_y).float().mean()
    gitexp.log_metrics({"loss": loss, "accuracy": accuracy}, step=epoch)
    print(f"epoch {epoch}: loss {loss:.3f}, accuracy {accuracy:.3f}")
