"""Hugging Face's Trainer with its own MLflow callback: a small BERT, made here, learns to find a
word."""

import torch
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

torch.manual_seed(0)
sentences = torch.randint(2, 30, (512, 8))
examples = [{"input_ids": words, "labels": (words == 7).any().long()} for words in sentences]

config = BertConfig(
    vocab_size=30,
    hidden_size=32,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=64,
    num_labels=2,
)
arguments = TrainingArguments(
    output_dir="out",
    report_to="mlflow",
    run_name="find the word",
    num_train_epochs=3,
    learning_rate=5e-3,
    per_device_train_batch_size=32,
    eval_strategy="epoch",
    logging_steps=4,
    save_strategy="no",
    use_cpu=True,
)
trainer = Trainer(
    BertForSequenceClassification(config),
    arguments,
    train_dataset=examples[:384],
    eval_dataset=examples[384:],
)
trainer.train()
