"""``gitexp run`` reads the results of scripts that nobody adapted, and keeps their files with their
own run."""

from __future__ import annotations

import json
import math
import re
import sys
import time
import warnings

import pytest

import gitexp
from conftest import Project
from gitexp.formats import printed, readers
from gitexp.formats.errors import FormatError


@pytest.mark.parametrize(
    ("path", "text", "wanted"),
    [
        (
            "metrics.csv",
            "epoch,step,a,b\n0,9,1,\n0,19,,2\n1,29,NA,3\n",
            {"a": [(9, 1)], "b": [(19, 2), (29, 3)]},
        ),
        (
            "results.csv",
            "  epoch,  x/y(B)\n  1,  0.5\n  2,  0.7\n  3\n",
            {"x/y(B)": [(1, 0.5), (2, 0.7)]},
        ),
        ("results.csv", "round,test_error\n1,0.5\n2,0.4\n", {"test_error": [(1, 0.5), (2, 0.4)]}),
        (
            "progress.csv",
            "time/total_timesteps,eval/mean_reward,train/loss\n64,5.0,\n64,,0.5\n128,6.0,\n",
            {"eval/mean_reward": [(64, 5), (128, 6)], "train/loss": [(64, 0.5)]},
        ),
        ("learn_error.tsv", "iter\tRMSE\n0\t2\n1\t1\n", {"RMSE": [(0, 2), (1, 1)]}),
        ("metrics.csv", 'Name,Value,Timestamp,Step\n"a",0.5,1,7\r\n', {"a": [(7, 0.5)]}),
        (
            "metrics.json",
            '{"acc": 0.9, "v": {"f1": 1}, "by": "me"}',
            {"acc": [(0, 0.9)], "v.f1": [(0, 1)]},
        ),
        (
            "metrics.json",
            '{"loss": {"steps": [3, 5], "values": [2, 1]}}',
            {"loss": [(3, 2), (5, 1)]},
        ),
        (
            "trainer_state.json",
            '{"log_history": [{"epoch": 0.5, "step": 4, "loss": 1}]}',
            {"loss": [(4, 1)]},
        ),
        (
            "log.jsonl",
            '{"step": 1, "loss": 2}\n{"step": 2, "loss": 1}\n{"st',
            {"loss": [(1, 2), (2, 1)]},
        ),
        ("scores.yaml", "acc: 1e-3\n", {"acc": [(0, 0.001)]}),
        ("m.json", '{"a": {"steps": 3, "values": 1}}', {"a.steps": [(0, 3)], "a.values": [(0, 1)]}),
        ("plots/metrics/train/loss.tsv", "step\tloss\n0\t2\n", {"train/loss": [(0, 2)]}),
        # decimal commas, percent signs, other line ends, comments
        ("metrics.csv", "epoch;a\n0;0,5\n1;1.234,5\n", {"a": [(0, 0.5), (1, 1234.5)]}),
        ("metrics.tsv", "epoch\ta b\r0\t93%\r1\t94,5%\r", {"a b": [(0, 93), (1, 94.5)]}),
        ("metrics.csv", "# of today\n# epoch,a\n0,1\n", {"a": [(0, 1)]}),
        # appended to: from the start, from a checkpoint, and with one more column
        ("log.csv", "epoch,a\n0,1\n1,2\nepoch,a\n0,3\n", {"a": [(0, 3)]}),
        ("log.csv", "epoch,a\n0,1\n1,2\n2,3\n1,4\n", {"a": [(0, 1), (1, 4)]}),
        ("log.csv", "epoch,a\n0,1\nepoch,a,b\n1,2,3\n", {"a": [(0, 1), (1, 2)], "b": [(1, 3)]}),
        ("log.csv", "fold,epoch,a\n0,0,1\n1,0,3\n", {"a": [(0, 1), (0, 3)]}),
        (
            "log.jsonl",
            '{"step": 1, "a": 2}\n{"step": 2, "\n{"step": 3, "a": 1}\n',
            {"a": [(1, 2), (3, 1)]},
        ),
        # not gone over again: rows sorted by another column, a late one, and several trainings
        ("log.csv", "epoch,a\n2,1\n1,2\n", {"a": [(2, 1), (1, 2)]}),
        ("log.csv", "step,a\n0,1\n9,2\n5,3\n", {"a": [(0, 1), (9, 2), (5, 3)]}),
        (
            "log.csv",
            "lr,epoch,a\n1,0,1\n1,1,2\n2,0,3\n2,1,4\n",
            {"lr": [(0, 1), (1, 1), (0, 2), (1, 2)], "a": [(0, 1), (1, 2), (0, 3), (1, 4)]},
        ),
        # the counter that is whole and grows
        ("log.csv", "iter,a,epoch\n5,1,0\n9,2,0\n", {"a": [(5, 1), (9, 2)]}),
        (
            "log.jsonl",
            '{"epoch": 0, "step": 0, "a": 1, "b": 1}\n{"epoch": 0, "step": 1, "a": 2}\n' * 2,
            {"a": [(0, 1), (0, 2), (0, 1), (0, 2)], "b": [(0, 1), (0, 1)]},
        ),
        ("log.csv", "epoch,iter,a\n0.5,5,1\n1.0,9,2\n", {"a": [(5, 1), (9, 2)]}),
        ("log.csv", "step,episode,a\n9,0,1\n7,1,2\n", {"a": [(0, 1), (1, 2)]}),
        (
            "progress.csv",
            "rollout/rew,time/total_timesteps\n5,2048\n",
            {"rollout/rew": [(2048, 5)]},
        ),
        # a metric in each row, as pandas writes a Series and a DataFrame
        ("results.csv", "Metric;Value\nacc;0,9\nf1;1\n", {"acc": [(0, 0.9)], "f1": [(0, 1)]}),
        ("results.csv", ",0\nacc,0.9\n", {"acc": [(0, 0.9)]}),
        ("results.csv", ",f1,n\ncat,0.9,3\n", {"cat.f1": [(0, 0.9)], "cat.n": [(0, 3)]}),
        (
            "log.jsonl",
            '{"name": "a", "value": 1, "step": 0}\n{"name": "b", "value": 2, "step": 1}\n',
            {"a": [(0, 1)], "b": [(1, 2)]},
        ),
        (
            "log.csv",
            "epoch,split,a\n0,train,1\n0,val,2\n",
            {"train/a": [(0, 1)], "val/a": [(0, 2)]},
        ),
        ("log.csv", "epoch,split,a,b\n0,train,1,\n0,val,,2\n", {"a": [(0, 1)], "b": [(0, 2)]}),
        (
            "results.csv",
            "metric,split,value\nf1,train,1\nacc,test,2\n",
            {"f1": [(0, 1)], "acc": [(0, 2)]},
        ),
        ("scores.csv", "name,score\nx.png,1\ny.png,2\n", {"score": [(0, 1), (1, 2)]}),
        ("log.csv", "epoch,a,\n0,1,\n", {"a": [(0, 1)]}),
        ("log.tsv", "epoch\ta\tn\n0\t0.5\t1,000\n", {"a": [(0, 0.5)]}),
        ("m.json", '{"epoch": [null, 1], "a": [1, 2]}', {"a": [(0, 1), (1, 2)]}),
        # lists with gaps and with steps beside them, names that are digits, rows within a document
        ("m.json", '{"epoch": [1, 2], "a": [3, null]}', {"a": [(1, 3)]}),
        ("m.json", '{"by": {"0": {"f1": 1}}, "": 2}', {"by.0.f1": [(0, 1)]}),
        ("m.json", '{"h": [{"epoch": 1, "a": 2}], "b": "93%"}', {"h.a": [(1, 2)], "b": [(0, 93)]}),
        ("m.yaml", "- {epoch: 1, a: 2}\n- {epoch: 2, a: 1}\n", {"a": [(1, 2), (2, 1)]}),
        ("log.txt", '{"epoch": 1, "a": 2}\n{"epoch": 2, "a": 1}\n', {"a": [(1, 2), (2, 1)]}),
    ],
)
def test_each_form_is_read(
    path: str, text: str, wanted: dict[str, list[tuple[int, float]]]
) -> None:
    series: dict[str, list[tuple[int, float]]] = {}
    for point in readers.read_metrics(path, text.encode()).points:
        series.setdefault(point.name, []).append((point.step, point.value))
    assert series == wanted


@pytest.mark.parametrize(
    "text", ["{", *(f'{{"a": {{"steps": [{step}], "values": [1]}}}}' for step in ("null", "1e400"))]
)
def test_what_is_no_form_is_refused(text: str) -> None:
    with pytest.raises(FormatError):
        readers.read_metrics("metrics.json", text.encode())


def test_checkpoints_of_one_training_hold_one_history(project: Project) -> None:
    project.write(
        "train.py",
        "import json, os\n"
        "rows = []\n"
        "for step in (2, 4, 10):\n"
        "    rows.append({'step': step, 'loss': 1 / step, 'acc': float('nan')})\n"
        "    os.makedirs(f'out/checkpoint-{step}')\n"
        "    with open(f'out/checkpoint-{step}/trainer_state.json', 'w') as file:\n"
        "        json.dump({'log_history': rows, 'global_step': step, 'max_steps': 12}, file)\n",
    )
    done = project.run("run", "--", sys.executable, "train.py")
    history = gitexp.get("@").history()
    assert [*zip(history.name, history.step)] == [
        (name, step) for name in ("loss", "acc") for step in (2, 4, 10)
    ]
    assert done.stderr.count(" of 12") == 1
    assert "checkpoint-10/trainer_state.json: step 10 of 12: it stopped early" in done.stderr


_PRINTED = [  # as well-known scripts print them
    (
        "step 0: train loss 4.2, val loss 4.1\nstep 250: train loss 1.5, val loss 1.4\n",
        {"train loss": [(0, 4.2), (250, 1.5)], "val loss": [(0, 4.1), (250, 1.4)]},
    ),
    (
        ("Train Epoch: 1 [0/60000 (0%)]\tLoss: 2.3\nTrain Epoch: 1 [640/60000 (1%)]\tLoss: 1.3\n"
        "\nTest set: Average loss: 0.2, Accuracy: 9000/10000 (90%)\n"),
        {"Loss": [(0, 2.3), (1, 1.3)], "Average loss": [(1, 0.2)], "Accuracy": [(1, 90)]},
    ),
    (
        ("Epoch 1/2\n\r1/4 [==>..] - loss: 9.0\r4/4 [===] - 1s - loss: 0.5 - val_acc: 0.8\n"
        "Epoch 2/2\n\x1b[1m1/4\x1b[0m - loss: 9\x08\x08\x1b[1m4/4\x1b[0m - loss: 0.4 - val_acc: 0.9"),
        {"loss": [(1, 0.5), (2, 0.4)], "val_acc": [(1, 0.8), (2, 0.9)]},
    ),
    (  # another line between two frames of a bar, and an evaluation after the training
        ("Epoch 1/2\n\r1/4 ━── 0s - loss: 9.0\nEpoch 1: saving model to m.keras\n\x08\r4/4 ━━━ 1s - loss: 0.5 - acc: 0.8\n"
        "Epoch 2/2\n\r4/4 ━━━ 1s - loss: 0.4 - acc: 0.9\n\r1/7 ━── 0s - loss: 5\r7/7 ━━━ 0s - loss: 0.6 - acc: 0.7\n"),
        {"loss": [(1, 0.5), (2, 0.4)], "acc": [(1, 0.8), (2, 0.9)], "eval loss": [(0, 0.6)], "eval acc": [(0, 0.7)]},
    ),
    ("Epoch 1/2\n5/5 - 0s - loss: 0.5\n7/7 - 0s - loss: 0.6\n", {"loss": [(1, 0.5)], "eval loss": [(0, 0.6)]}),
    ("Epoch 1/2\n\r1/4 ━── 0s - loss: 9.0\n\x08\r2/4 ━━─ 0s - loss: 8.0\nKilled\n", {"loss": [(1, 8)]}),
    (  # a bar that is slow draws its last frame twice
        "Epoch 1/2\n\r3/3 ━━━ 0s - loss: 9.0\x08\x08\n\r3/3 ━━━ 1s - loss: 0.5 - val_loss: 0.6\n",
        {"loss": [(1, 0.5)], "val_loss": [(1, 0.6)]},
    ),
    ("1/3 - 3s - loss: 3.0\n2/3 - 3s - loss: 2.0\n3/3 - 3s - loss: 1.0\n", {"loss": [(0, 3), (1, 2), (2, 1)]}),
    ("7/7 ━━━ 0s - loss: 0.6\n", {"loss": [(0, 0.6)]}),
    (
        "[5]\tvalid_0's l2: 4\n[10]\tvalid_0's l2: 3\nEarly stopping, best iteration is:\n[7]\tvalid_0's l2: 2.5\n",
        {"valid_0's l2": [(5, 4), (10, 3), (7, 2.5)]},
    ),
    (
        "{'loss': 2.1, 'grad_norm': 1.2, 'epoch': 0.5}\n{'eval_loss': 1.5, 'eval_runtime': 1.2, 'epoch': 1}",
        {"loss": [(0, 2.1)], "grad_norm": [(0, 1.2)], "eval_loss": [(1, 1.5)]},
    ),
    (
        ("      Epoch    GPU_mem   box_loss  Instances\n"
        "        1/3         0G      1.231         12        640: 100%|███| 4/4 [00:01]\n"),
        {"box_loss": [(1, 1.231)]},
    ),
    ("┃ Epoch ┃ Loss ┃\n┡━━━╇━━━┩\n│ 1     │ 0.5  │\n│ 2     │ 0.4  │\n", {"Loss": [(1, 0.5), (2, 0.4)]}),
    ("|    ep_rew_mean     | 22.3     |\n|    fps             | 12       |", {"ep_rew_mean": [(0, 22.3)]}),
    (
        "global_step=128, episodic_return=[12.]\nglobal_step=256, episodic_return=tensor(20.)\nSPS: 12",
        {"episodic_return": [(128, 12), (256, 20)]},
    ),
    (
        ("2024-05-01 12:00:00,123 - INFO - Epoch [1/3], Step [100/600], Loss: 0.2\n"
        "2024-05-01 12:00:01,123 - INFO - Epoch [1/3], Step [200/600], Loss: 0.1\n"),
        {"Loss": [(100, 0.2), (200, 0.1)]},
    ),
    ("Accuracy of the network on the 10000 test images: 55 %", {"Accuracy": [(0, 55)]}),
    ("[1]\tvalid_0's l2: 0.23\n[2]\tvalid_0's l2: 0.21\n", {"valid_0's l2": [(1, 0.23), (2, 0.21)]}),
    ("Mean squared error: 2.5\nR2 score = 0.8\n", {"Mean squared error": [(0, 2.5)], "R2 score": [(0, 0.8)]}),
    (
        "[Round 1] accuracy: 0.8\nRound 2 | accuracy 0.9\n{'round': 3, 'accuracy': 0.7}\n",
        {"accuracy": [(1, 0.8), (2, 0.9), (3, 0.7)]},
    ),
    ('{"epoch": 1, "train": {"loss": 0.5}, "time": 3}', {"train.loss": [(1, 0.5)]}),
    (
        ("Epoch: [0][1/5]\tTime  2.1 ( 2.1)\tLoss 6.9e+00 (6.9e+00)\tAcc@1   0.3 (  0.3)\n"
        "Test: [1/1]\tTime  1.1 ( 1.1)\tLoss 6.7e+00 (6.7e+00)\tAcc@1   1.3 (  1.3)\n *   Acc@1 1.1\n"),
        {"Loss": [(0, 6.9)], "Acc@1": [(0, 0.3)], "Test Loss": [(0, 6.7)],
         "Test Acc@1": [(0, 1.3), (1, 1.1)]},
    ),
    (
        "train epoch: 1, loss: 0.5\ntest epoch: 1, loss: 0.6\ntrain epoch: 2, loss: 0.4\n",
        {"loss": [(1, 0.5), (2, 0.4)], "test loss": [(1, 0.6)]},
    ),
    (
        ("[0]\ttrain-mlogloss:0.6\teval-own:2\n[1]\ttrain-mlogloss:0.5\teval-own:1\n"
        "[1]\ttrain-mlogloss:0.5\teval-own:1\n0:\tlearn: 0.7\tbest: 0.7 (0)\ttotal: 50.1ms\tremaining: 4s"),
        {"train-mlogloss": [(0, 0.6), (1, 0.5)], "eval-own": [(0, 2), (1, 1)], "learn": [(0, 0.7)]},
    ),
    (
        ("| rollout/           |      |\n|    ep_len_mean     | 22.3 |\n|    ep_rew_mean     | 9    |\n"
        "| time/              |      |\n|    fps             | 12   |\n|    total_timesteps | 2048 |\n"),
        {"ep_len_mean": [(2048, 22.3)], "ep_rew_mean": [(2048, 9)]},
    ),
    (
        ("---------\n|      Epoch |    3 |\n|      LossV |  150 |\n|    EpRet   | 20.5 |\n|   Time |  1.2 |\n"),
        {"LossV": [(3, 150)], "EpRet": [(3, 20.5)]},
    ),
    (
        ("              precision    recall  f1-score   support\n\n           0       0.9      0.8      0.7     88\n\n"
        "    accuracy                           0.9        99\nweighted avg       0.9       0.8      0.7       99\n"),
        {"accuracy": [(0, 0.9)], "weighted avg precision": [(0, 0.9)], "weighted avg recall": [(0, 0.8)],
         "weighted avg f1": [(0, 0.7)]},
    ),
    (
        ("[I 2024-01-01 12:00:00,000] Trial 1 finished with value: 0.8 and parameters: {'x': 1}."
        " Best is trial 0 with value: 0.9."),
        {"value": [(1, 0.8)]},
    ),
    (
        (" Average Precision  (AP) @[ IoU=0.50:0.95 | area=   all | maxDets=100 ] = 0.377\n"
        " Average Recall     (AR) @[ IoU=0.50:0.95 | area= small | maxDets=100 ] = -1.000\n"),
        {"AP@0.50:0.95/all/100": [(0, 0.377)]},
    ),
    (
        ("E    #       LOSS NER  ENTS_F  SCORE \n---  ------  --------  ------  ------\n"
        "  0       0     45.00    0.00    0.00\n  0     200     16.00   60.10    0.60\n"),
        {"LOSS NER": [(0, 45), (200, 16)], "SCORE": [(0, 0), (200, 0.6)]},
    ),
    (" 10%|#  | 10/100 [00:01<00:10,  9.0it/s]{'loss': 0.5, 'epoch': 1}\n", {"loss": [(1, 0.5)]}),
    ("{'loss': 0.5, 'said': 'no nan found', 'epoch': 1}\n", {"loss": [(1, 0.5)]}),
    (
        "{'loss': 0.5, 'lr': -inf, 'said': \"has inf, it's 'nan'\", 'epoch': 1}\n",
        {"loss": [(1, 0.5)], "lr": [(1, -math.inf)]},
    ),
    ("| name | epoch | loss |\n| cat | 3 | 0.5 |\n", {"loss": [(3, 0.5)]}),
    ("| epoch | nan |\n| loss | 0.5 |\n\n{'epoch': 2, 'valLoss': 0.5}\n", {"loss": [(0, 0.5)], "valLoss": [(2, 0.5)]}),
    (
        "RMSE: 3,456.7\nVal loss: 1,234,567.8\nMSE=-1,234.5,acc=0.5\nstep 1,000 map 1,234,567\n",
        {"RMSE": [(0, 3456.7)], "Val loss": [(0, 1234567.8)], "MSE": [(0, -1234.5)], "acc": [(0, 0.5)],
         "map": [(1000, 1234567)]},
    ),
    ("| epoch | loss |\n| 1 | 3,456.7 |\nAccuracy: 9,000/10,000 (90%)\n", {"loss": [(1, 3456.7)], "Accuracy": [(0, 90)]}),
    (
        "epoch 0 mse inf mae -inf acc 0.5\nepoch 1 mse 2 lr inf mae 1 lr nan acc 0.6\n",
        {"mse": [(0, math.inf), (1, 2)], "mae": [(0, -math.inf), (1, 1)], "acc": [(0, 0.5), (1, 0.6)]},
    ),
    (
        "{'loss': 0.5, 'grad_norm': inf, 'epoch': 1}\n{'loss': 0.4, 'grad_norm': 2.0, 'epoch': 2}\n",
        {"loss": [(1, 0.5), (2, 0.4)], "grad_norm": [(1, math.inf), (2, 2)]},
    ),
    ("2026-01-01 10:00:00,123 INFO loss 0.4\n2026-01-01 10:00:01,123 root DEBUG loss 0.3\n", {"loss": [(0, 0.4), (1, 0.3)]}),
    ("{'acc': np.float64(0.9)}\nResults: {'mAP50': 0.5}\n", {"acc": [(0, 0.9)], "mAP50": [(0, 0.5)]}),
    ("   epoch  loss   acc\n0      1  0.50  0.80\n1      2  0.40  0.90\n", {"loss": [(1, 0.5), (2, 0.4)], "acc": [(1, 0.8), (2, 0.9)]}),
    ("epoch,loss,acc\n1,0.5,0.8\n2,0.4,0.9\n", {"loss": [(1, 0.5), (2, 0.4)], "acc": [(1, 0.8), (2, 0.9)]}),
    ("accuracy     0.90\nf1           0.80\ndtype: float64\n", {"accuracy": [(0, 0.9)], "f1": [(0, 0.8)]}),
    (
        "Epoch 1 [train]: loss=0.5\nEpoch 1 [val]: loss=0.6\nEpoch 2 [train]: loss=0.4\nEpoch 2 [val]: loss=0.7\n",
        {"loss": [(1, 0.5), (2, 0.4)], "val loss": [(1, 0.6), (2, 0.7)]},
    ),
    (  # as PyTorch's tutorials print it
        "train Loss: 0.5 Acc: 0.8\nval Loss: 0.6 Acc: 0.7\n",
        {"train Loss": [(0, 0.5)], "Acc": [(0, 0.8)], "val Loss": [(0, 0.6)], "val Acc": [(0, 0.7)]},
    ),
    (
        ("Loss (val): 0.5, Accuracy (%): 93, R²: 0.9, Root mean squared error (RMSE) = 2.5, Test score: 0.7.\n"
        "Top-1 accuracy: 0.8, Top-5 accuracy: 0.9, MSE (fold 3): 4\n"),
        {"Loss (val)": [(0, 0.5)], "Accuracy": [(0, 93)], "R2": [(0, 0.9)], "RMSE": [(0, 2.5)], "Test score": [(0, 0.7)],
         "Top-1 accuracy": [(0, 0.8)], "Top-5 accuracy": [(0, 0.9)], "MSE": [(0, 4)]},
    ),
    (  # Lightning's, with and without rich
        "──────\n  Test metric    DataLoader 0    DataLoader 1\n──────\n   test_hits   0.5   0.4\n──────\nlr    0.1\n",
        {"test_hits/dataloader_idx_0": [(0, 0.5)], "test_hits/dataloader_idx_1": [(0, 0.4)]},
    ),
    ("┃  Test metric  ┃ DataLoader 0 ┃\n┡━━━╇━━━┩\n│   test_hits   │  0.5  │\n└───┴───┘\n", {"test_hits": [(0, 0.5)]}),
    ("Validation accuracy was 0.88\nthe loss is 0.5\n", {"Validation accuracy": [(0, 0.88)], "loss": [(0, 0.5)]}),
]  # fmt: skip
_NO_METRICS = (
    *(
        "epochs: 10",
        "lr=0.1",
        "score threshold: 0.5",
        "loss function: 3",
        "max_score=10",
        "return 0",
    ),
    *("error 404", "map: 3 workers", "loss weights: 1.0 0.5", "GET /score 200", "precision: 16"),
    *("Namespace(lr=0.1, loss=0.5)", "Loading checkpoint with loss 0.5", "loss_scale: 128"),
    *("loss every step: 3", "{'lr': 0.1, 'loss_weight': 0.5}", "Error: 2 files missing"),
    *("val_acc: 100%|####| 4/4", "mAP50-95: 100%|####| 4/4", "| lossFn | 3 |"),
    *("CUDA error: 0", "args.loss = 0.5", "IoU: [0.5 0.6]", "loss: tensor([0.5, 0.4])"),
    *("Metric    loss\nlr   0.1\n", "score 1.2.3", "| Metric | Value |\n|\n"),
    *("loss: 3,456", "loss: 0,123.5", "loss: 3.456,7", "loss: [1,200.5]", "mse: 3,100.5,200.5"),
    *("args: {'loss': 1}", "Config: {'lr': 0.1, 'epoch': 10, 'loss': 0.5}"),
    *("rmse: 3'456.7", "2026-01-01 10:00:00,123 INFO error 404", "INFO my loss 0.4"),
)


@pytest.mark.parametrize(("text", "wanted"), _PRINTED)
def test_output_is_read_as_well_known_scripts_print_it(
    text: str, wanted: dict[str, list[tuple[int, float]]]
) -> None:
    found: dict[str, list[tuple[int, float]]] = {}
    for point in printed.read_output(text):
        found.setdefault(point.name, []).append((point.step, point.value))
    assert found == wanted


def test_printed_metrics_are_read_and_nothing_else() -> None:
    text = "step 3 | loss 0.5 | acc 0.9\nfoo 12:30\nlr: 0.1\n10%| loss=9\rloss=1\nloaded 5 files\n"
    found = [(point.name, point.step, point.value) for point in printed.read_output(text)]
    assert found == [("loss", 3, 0.5), ("acc", 3, 0.9), ("loss", 4, 1)]
    for line in (*_NO_METRICS, "| a" + " " * 30_000, "args" * 30_000):  # in no time
        assert printed.read_output(line) == [], line
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # which Python's parser has of what is in the text
        assert printed.read_output("{'loss': 0.5, 'n': 1or 2}")[0].value == 0.5
    (point,) = printed.read_output("loss 2 at nan\n", [r"loss (?P<loss>\S+) at (?P<step>\S+)"])
    assert (point.name, point.step, point.value) == ("loss", 0, 2)
    text = "{'loss': 0.5, 'epoch': 1}\n{\"step\": 2, \"loss\": 0.25}\n{'loss': '0.125', 'epoch': '3'}\n"
    found = [(point.name, point.step, point.value) for point in printed.read_output(text)]
    assert found == [("loss", 1, 0.5), ("loss", 2, 0.25), ("loss", 3, 0.125)]


def test_outputs_belong_to_the_run_that_wrote_them(project: Project) -> None:
    project.write("t.py", "import sys; open(f'out-{sys.argv[1]}.txt', 'w').write(sys.argv[1])")
    for run in "12":
        project.run("run", "--", sys.executable, "t.py", run)
    for mine, other in (("1", "2"), ("2", "1")):
        files = project.git("ls-tree", "-r", "--name-only", f"exp-{mine}").splitlines()
        assert f"out-{mine}.txt" in files
        assert not [path for path in files if f"out-{other}" in path]


@pytest.mark.parametrize(
    ("name", "first", "row"),
    [("results.csv", "acc\n", "{}\n"), ("results.jsonl", "", '{{"acc": {}}}\n')],
)
def test_rows_of_earlier_runs_in_a_table_are_theirs(
    project: Project, name: str, first: str, row: str
) -> None:
    text = f"import os, sys\nnew = not os.path.exists({name!r})\n"
    text += (
        f"print(new * {first!r} + {row!r}.format(sys.argv[1]), end='', file=open({name!r}, 'a'))\n"
    )
    project.commit(t_py=text)
    for value in ("0.9", "0.7"):
        project.gitexp("run", "--", sys.executable, "t.py", value)
    assert [[point.value for point in gitexp.get(n).points()] for n in (1, 2)] == [[0.9], [0.7]]
    project.write("t.py", f"open({name!r}, 'w').write({(first + row.format(0.5) * 3)!r})\n")
    project.gitexp("run", "--", sys.executable, "t.py")  # written anew
    assert len([*gitexp.get(3).points()]) == 3


def test_a_longer_training_that_begins_as_the_one_before_has_its_whole_course(
    project: Project,
) -> None:
    rows = "[f'{at},{1 / (at + 1)}\\n' for at in range(int(sys.argv[1]))]"
    project.commit(
        t_py=f"import sys\nopen('log.csv', 'w').writelines(['epoch,loss\\n', *{rows}])\n"
    )
    for epochs in ("2", "4"):
        project.gitexp("run", "--", sys.executable, "t.py", epochs)
    assert [len([*gitexp.get(n).points()]) for n in (1, 2)] == [2, 4]


def test_what_a_command_has_git_ignore_stays_ignored(project: Project) -> None:
    """As DVC does for what a stage writes."""
    lines = "open('.gitignore', 'w').write('model.bin'); open('model.bin', 'w').write('x')"
    project.run("run", "--", sys.executable, "-c", lines)
    project.gitexp("log", "-M", "a=1")
    assert project.git("show", "exp-2:.gitignore") == "model.bin"
    assert project.git("status", "--porcelain") == ""


def test_globs_of_a_command_are_seen_from_where_it_runs(project: Project) -> None:
    here = project.root / "sub [1]"
    here.mkdir()
    project.write(".gitignore", "out/\n")
    script = "import os; os.makedirs('out/a', exist_ok=True); open('out/a/m.json', 'w').write('{\"loss\": 1}')"
    for option, glob in (("--metrics-file", "out/*/m.json"), ("--metrics-file", "sub */m.json")):
        project.gitexp("run", option, glob, "--", sys.executable, "-c", script, cwd=here)
        assert dict(gitexp.get("@").metrics) == {"loss": 1}
    project.gitexp("run", "--artifact", "./out/*", "--", sys.executable, "-c", script, cwd=here)
    assert gitexp.get("@").read("sub [1]/out/a/m.json") == b'{"loss": 1}'
    done = project.run("run", "--metrics-file", "no.json", "--", sys.executable, "-c", "1")
    assert "no metric found; it wrote no such file: no.json" in done.stderr


def test_files_that_are_called_like_results_are_read_and_others_not() -> None:
    named = "metrics_fold1.json scores_test.yaml results-2026-11-29.csv hist.csv train_loss.csv performance.json"
    others = "train.jsonl log_config.json eval_data.csv resultset.json scoreboard.json config.json"
    assert all(map(readers.is_metrics, named.split()))
    assert not any(map(readers.is_metrics, others.split()))


def test_outputs_are_shown_with_size_and_hash_and_never_as_code(project: Project) -> None:
    project.write("t.py", "import sys; open('model.bin', 'w').write(sys.argv[1])")
    for word in ("one", "three"):
        project.run("run", "--", sys.executable, "t.py", word)
    shown = json.loads(project.gitexp("show", "exp-2", "--json"))
    assert [(item["path"], item["size"]) for item in shown["outputs"]] == [("model.bin", 5)]
    assert shown["artifacts"] == [] or "model.bin" not in shown["artifacts"]
    found = json.loads(project.gitexp("diff", "exp-1", "exp-2", "--json"))
    assert [item["path"] for item in found["outputs"]] == ["model.bin"]
    assert found["code"] == []


def test_a_result_that_git_has_is_recorded_as_it_ended_and_code_as_it_began(
    project: Project,
) -> None:
    project.commit(**{"metrics.json": '{"a": 1}', "t.py": "x = 1\n"})
    script = "open('metrics.json', 'w').write('{\"a\": 2}'); open('t.py', 'w').write('x = 2')"
    done = project.run("run", "--", sys.executable, "-c", script)
    assert project.git("show", "exp-1:metrics.json") == '{"a": 2}'
    assert project.git("show", "exp-1:t.py") == "x = 1"
    assert "changed by the command, recorded as at the start: t.py" in done.stderr
    assert gitexp.get("exp-1").metrics["a"] == 2


def test_caches_and_environments_are_no_sources(project: Project) -> None:
    for path in (
        "a/__pycache__/b.pyc",
        ".ipynb_checkpoints/n.ipynb",
        ".DS_Store",
        "env/pyvenv.cfg",
        "env/x.py",
    ):
        project.write(path, "x")
    project.run("log", "-M", "a=1")
    files = project.git("ls-tree", "-r", "--name-only", "exp-1")
    assert not [
        word
        for word in ("pyc", "ipynb", "DS_Store", "env/")
        if word in files.replace(".gitexp/", "")
    ]


def test_a_run_without_results_says_so(project: Project) -> None:
    done = project.run("run", "--", sys.executable, "-c", "print('done')")
    assert "no metric found" in done.stderr
    done = project.run("run", "--", sys.executable, "-c", "raise SystemExit(3)")
    assert (done.returncode, "no metric found" in done.stderr) == (3, False)


def test_status_shows_what_a_run_prints(project: Project) -> None:
    """The command asks itself, as somebody beside it would."""
    ask = "subprocess.run([sys.executable, '-m', 'gitexp', 'status'])"
    project.write(
        "t.py", f"import subprocess, sys\nprint('loading x')\n{ask}\nprint('loss: 0.5')\n{ask}"
    )
    done = project.run("run", "--", sys.executable, "t.py")
    assert re.search(r"no metric yet; it says: loading x[^$]*\n +loss +0.5 +0\n", done.stdout)


@pytest.mark.parametrize(
    ("path", "text", "wanted", "said"),
    [
        ("m.json", '{"loss": {"steps": [3], "values": [2]}, "by": "me"}', {"loss": 2}, "Sacred's"),
        ("m.jsonl", '{"step": 1, "loss": 2, "by": "me"}\n', {"loss": 2}, "JSON Lines"),
        ("m.yaml", "acc: 1e-3\nstep: 7\nby: me\n", {"acc": 0.001}, "names and values"),
        ("m.csv", "epoch,loss,by\n0,2,me\n", {"loss": 2}, "a column for each metric"),
        ("t.json", '{"log_history": [{"step": 4, "loss": 1, "by": "me"}]}', {"loss": 1}, "Trainer"),
    ],
)
def test_a_metrics_file_has_the_same_forms_and_says_which_it_saw(
    project: Project, path: str, text: str, wanted: dict[str, float], said: str
) -> None:
    project.write(path, text)
    done = project.run("log", "--metrics-file", path)
    assert gitexp.get("exp-1").metrics == wanted
    assert f"{path}: by: no number, left out (read as " in done.stderr
    assert said in done.stderr


def test_history_is_read_as_metrics_files_are(project: Project) -> None:
    project.commit(**{"metrics.json": '{"step": 3, "loss": {"steps": [1, 2], "values": [4, 5]}}'})
    project.gitexp("import", "git")
    found = gitexp.get("exp-1")
    assert found.metrics == {"loss": 5}
    assert [(point.name, point.step) for point in found.points()] == [("loss", 1), ("loss", 2)]


def test_programs_that_a_command_made_can_be_run(project: Project) -> None:
    script = "import os; open('tool', 'w').write('x'); os.chmod('tool', 0o755); open('d', 'w')"
    project.commit()
    project.run("run", "--", sys.executable, "-c", script)
    listed = project.git("ls-tree", "exp-1", "tool", "d").split()
    assert listed[::4] == ["100644", "100755"]
    assert project.git("status", "--porcelain") == ""


LOSSES = "for i in range(3): print(f'step {i} | loss {1 / (i + 1)} | own={i}')"


def test_the_end_of_very_much_output_is_read(project: Project) -> None:
    lines = "for at in range(14): print('step', at, 'loss', 1 / (at + 1)); print('x' * 1_000_000)"
    project.run("run", "--", sys.executable, "-c", lines)
    found = gitexp.get("@")
    assert dict(found.metrics) == {"loss": 1 / 14}
    assert [*found.history().step][:4] == [0, 1, 2, 3]
    log = found.read(".gitexp/output.log")
    assert b"bytes left out" in log
    assert log.endswith(b"x\n")


@pytest.mark.parametrize(
    ("stdout", "options", "wanted"),
    [
        ("", [], {"loss"}),
        ("", ["--no-stdout"], set()),
        ("stdout = false", [], set()),
        ("stdout = false", ["--stdout"], {"loss"}),
        ("stdout = ['own=(?P<mine>.*)']", [], {"mine"}),
    ],
)
def test_whether_and_how_output_is_read_can_be_said(
    project: Project, stdout: str, options: list[str], wanted: set[str]
) -> None:
    project.write(".gitexp.toml", stdout)
    project.run("run", *options, "--", sys.executable, "-c", LOSSES)
    assert {*gitexp.get("exp-1").metrics} == wanted
    assert [point.step for point in gitexp.get("exp-1").points()] == [0, 1, 2][: 3 * len(wanted)]


@pytest.mark.parametrize("pattern", ["(", "loss=(.*)"])
def test_a_pattern_that_names_no_metric_is_refused(project: Project, pattern: str) -> None:
    project.write(".gitexp.toml", f"stdout = ['{pattern}']")
    assert "is no pattern for the setting stdout" in project.error("run", "--", "true")


def test_what_is_no_file_or_too_large_is_named_and_fails_nothing(project: Project) -> None:
    script = (
        "import os; os.mkfifo('metrics.json'); os.symlink('/etc/hostname', 'results.csv');"
        " open('scores.json', 'w').truncate(60_000_000); open('eval.json', 'w').write('{')"
    )
    done = project.run("run", "--", sys.executable, "-c", script)
    assert done.returncode == 0
    for path in ("metrics.json", "results.csv"):
        assert f"{path} is a link, a FIFO or the like, and was not read" in done.stderr
    assert "scores.json was not read as metrics: it has 60.0 MB" in done.stderr
    assert "eval.json was not read as metrics: eval.json cannot be read as JSON" in done.stderr
    assert gitexp.get("exp-1").status == "finished"


DIES = """
import json, os, signal, time
json.dump({"acc": 0.5}, open("metrics.json", "w"))
open("model.bin", "w").write("x")
os.kill(os.getppid(), signal.SIGKILL)
"""


def test_what_a_killed_run_wrote_is_its_output_and_no_source_of_the_next(project: Project) -> None:
    project.commit(**{"die.py": DIES})
    project.run("run", "--", sys.executable, "die.py")
    time.sleep(1.5)
    project.write("new.py", "x = 1\n")
    project.gitexp("log", "-M", "a=1")
    files = project.git("ls-tree", "--name-only", "exp-1").split()
    assert "new.py" in files
    assert not {"metrics.json", "model.bin"} & {*files}
    project.gitexp("recover")
    found = gitexp.get("exp-2")
    assert (found.status, found.metrics) == ("killed", {"acc": 0.5})
    assert found.extra["outputs"] == ["metrics.json", "model.bin"]
    assert "new.py" not in project.git("ls-tree", "--name-only", "exp-2").split()


def test_a_large_old_folder_is_looked_at_for_results_alone(project: Project) -> None:
    for at in range(150):
        project.write(f"old/{at}.bin", "x")
    project.write("old/metrics.json", "{}")
    project.commit(**{".gitignore": "old/\n"})
    script = "for name in ('1.bin', 'metrics.json'): open('old/' + name, 'w').write('{\"a\": 1}')"
    project.run("run", "--", sys.executable, "-c", script)
    assert gitexp.get("exp-1").metrics == {"a": 1}


def test_a_params_file_in_a_form_of_the_scripts_own_stays_as_it_is(project: Project) -> None:
    text = "1e-5: a  # a comment\nlr: 1e-05\n"
    project.write("fit.py", f"open('params.yml', 'w').write({text!r})\n")
    for number in (1, 2):
        project.run("run", "--", sys.executable, "fit.py", "--depth", str(number))
        assert (project.root / "params.yml").read_text() == text
        assert project.git("show", f"exp-{number}:params.yml") == text.rstrip()
        assert gitexp.get(f"exp-{number}").params["depth"] == number
        assert gitexp.get(f"exp-{number}").params["lr"] == 1e-05
    assert "params.yml" not in project.git("status", "--porcelain")


def test_a_glob_of_artifacts_that_fits_nothing_is_said(project: Project) -> None:
    script = "open('model.bin', 'w').write('1')"
    command = ["--artifact", "mdl.*", "--artifact", "*.bin", "--", sys.executable, "-c", script]
    said = project.run("run", *command).stderr
    assert "--artifact mdl.* kept no file, as seen" in said
