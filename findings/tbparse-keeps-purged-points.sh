#!/usr/bin/env bash
# tbparse 0.0.9: of a training that was resumed with purge_step it gives the values that TensorBoard 2.21.0 drops, too, for it reads
# each event file by itself: steps that were never reached again end the curve, and with pivot=True a step that was made twice is
# a list of two values, in no fixed order.
# Seen: resumed at 5 of 10 to 8: TensorBoard's last is (7, 107.0), tbparse's (9, 9.0); pivot at 5: 2 values
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check tbparse==0.0.9 tensorboard==2.21.0 tensorboardX==2.6.5
cat >script.py <<'END'
from tbparse import SummaryReader
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboardX import SummaryWriter

with SummaryWriter("run", filename_suffix=".first") as writer:
    for step in range(10):
        writer.add_scalar("loss", step, step)
with SummaryWriter("run", filename_suffix=".resumed", purge_step=5) as writer:
    for step in range(5, 8):
        writer.add_scalar("loss", 100 + step, step)
shown = EventAccumulator("run").Reload().Scalars("loss")
table = SummaryReader("run").scalars
wide = SummaryReader("run", pivot=True).scalars.set_index("step")["loss"]
last = (int(table["step"].iloc[-1]), float(table["value"].iloc[-1]))
print(f"TensorBoard's last is {shown[-1].step, shown[-1].value}, tbparse's {last};", end=" ")
print(f"pivot at 5: {len(wide[5])} values")
assert len(shown) == 8 and (shown[-1].step, shown[-1].value) == (7, 107.0)
assert len(table) == 13 and last == (9, 9.0)
assert sorted(wide[5]) == [5, 105]
END
venv/bin/python script.py 2>log
