"""Credentials stay out of history, and what only looks a little like one is recorded.

No token here is real, and none stands here whole: each is put together when the test runs, so that
nothing that scans repositories takes this file for a leak.
"""

from __future__ import annotations

import random
import string
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import gitexp
from conftest import Project
from gitexp.formats import environment, redaction

DIGITS, HEX = string.digits, "0123456789abcdef"
LETTERS = string.ascii_letters + DIGITS
UPPER = string.ascii_uppercase + DIGITS
FORMS = (
    "export {upper}={value}", "{upper}={value}", "{lower}: {value}", '"{lower}": "{value}",',
    "{lower} = '{value}'", "python t.py --{dashed} {value}", "python t.py --{dashed}={value}",
    "curl -H 'Authorization: Bearer {value}'", '--set {{"{lower}":"{value}"}}',
    "machine example.org login me password {value}",
)  # fmt: skip


def made_up(seed: int) -> dict[str, str]:
    """Return ``{name that it goes by: token}`` for the services of the field."""
    rng = random.Random(seed)

    def some(count: int, of: str = LETTERS) -> str:
        return "".join(rng.choices(of, k=count))

    return {
        "WANDB_API_KEY": some(40, HEX),
        "HF_TOKEN": "h" + "f_" + some(34),
        "OPENAI_API_KEY": "s" + "k-proj-" + some(48),
        "ANTHROPIC_API_KEY": "s" + "k-ant-api03-" + some(90),
        "GITHUB_TOKEN": "g" + "hp_" + some(36),
        "GH_PAT": "github" + "_pat_" + some(22) + "_" + some(59),
        "GITLAB_TOKEN": "gl" + "pat-" + some(20),
        "AZURE_STORAGE_KEY": some(86, LETTERS + "+/") + "==",
        "AZURE_CLIENT_SECRET": some(3) + "8Q" + "~" + some(34),
        "AWS_ACCESS_KEY_ID": "AK" + "IA" + some(16, UPPER),
        "AWS_SECRET_ACCESS_KEY": some(40, LETTERS + "+/"),
        "X-Amz-Signature": some(64, HEX),
        "GOOGLE_API_KEY": "AI" + "za" + some(35),
        "SLACK_TOKEN": "xo" + "xb-" + some(12, DIGITS) + "-" + some(24),
        "STRIPE_KEY": "s" + "k_live_" + some(24),
        "TWILIO": "S" + "K" + some(32, HEX),
        "SENDGRID": "S" + "G." + some(22) + "." + some(43),
        "MAILCHIMP": some(32, HEX) + "-us" + "12",
        "PYPI": "py" + "pi-" + some(80),
        "NPM": "np" + "m_" + some(36),
        "DOCKER": "dckr" + "_pat_" + some(27),
        "DIGITALOCEAN": "do" + "p_v1_" + some(64, HEX),
        "DATABRICKS": "da" + "pi" + some(32, HEX),
        "TELEGRAM": some(10, "123456789") + ":A" + "A" + some(33),
        "JWT": "ey" + "J" + some(20) + ".ey" + "J" + some(40) + "." + some(43),
        "COMET_API_KEY": some(25),
        "DAGSHUB_TOKEN": some(40, HEX),
        "REPLICATE": "r8" + "_" + some(37),
        "GROQ": "gs" + "k_" + some(52),
        "VAULT": "hv" + "s." + some(24),
        "COHERE_API_KEY": some(40),
        "PINECONE": "pc" + "sk_" + some(60),
        "LANGSMITH": "ls" + "v2_pt_" + some(32, HEX) + "_" + some(10, HEX),
        "DB_PASSWORD": some(20) + "7q",
    }


def test_no_token_of_any_service_passes_in_any_form() -> None:
    leaked = [
        (name, form)
        for seed in range(20)
        for name, value in made_up(seed).items()
        for form in FORMS
        if value in redaction.redact(_filled(form, name, value))
    ]
    assert leaked == []


def addresses(seed: int) -> dict[str, str]:
    """Return made-up addresses that are secrets, or hold one, and that part of each."""
    rng = random.Random(seed)

    def some(count: int, of: str = LETTERS) -> str:
        return "".join(rng.choices(of, k=count))

    def guid() -> str:
        return "-".join(some(count, HEX) for count in (8, 4, 4, 4, 12))

    slack = f"services/T{some(9, UPPER)}/B{some(9, UPPER)}/{some(24)}"
    secrets = {
        f"https://hooks.slack.com/{slack}": slack,
        f"https://discord.com/api/webhooks/{some(18, DIGITS)}/{{}}": some(68),
        f"https://a.webhook.office.com/webhookb2/{guid()}@{guid()}/IncomingWebhook/{{}}/{guid()}": some(
            32, HEX
        ),
        f"https://a.logic.azure.com/workflows/{some(32, HEX)}/invoke?sp=run&sig={{}}": some(43),
        "https://chat.googleapis.com/v1/spaces/AAA/messages?threadKey=a&token={}": some(43),
        "https://hooks.zapier.com/hooks/catch/1234567/{}/": some(7),
        "https://chat.example.org/hooks/{}": some(26),
        "https://api.telegram.org/bot{}/sendMessage": some(10, "123456789") + ":A" + "A" + some(33),
        "https://api.pushover.net/1/messages.json?token={}": some(30),
        "https://ntfy.example.org/runs?auth={}": some(32),
        "https://intake.example.org/v1/input?dd-api-key={}": some(32, HEX),
        "https://{}@dagshub.com/ada/project.git": some(40, HEX),
        "https://ada:{}@dagshub.com/ada/project.mlflow": some(40, HEX),
        "https://{}@o1.ingest.sentry.io/2": some(32, HEX),
    }
    return {address.format(secret): secret for address, secret in secrets.items()}


def test_no_address_of_a_webhook_or_with_a_token_passes() -> None:
    forms = ("{}", "posting to {} now", '  "uri": "{}",', "--tracking-uri={}", "curl -d @- '{}'")
    leaked = [
        form.format(address)
        for seed in range(20)
        for address, secret in addresses(seed).items()
        for form in forms
        if secret in redaction.redact(form.format(address))
    ]
    assert leaked == []
    for plain in (
        "https://github.com/example/webhooks/blob/main/docs/incoming-messages.md",
        ".git/hooks/pre-commit-of-the-whole-team.sh",
        "https://example.org/search?q=resnet50&page=2&sort_key=published",
        "ssh://git@example.org/a/b.git",
    ):
        assert redaction.redact(plain) == plain


def test_no_token_passes_in_arguments_and_params() -> None:
    for name, value in made_up(1).items():
        option = f"--{name.lower().replace('_', '-')}"
        shown = environment.redact(["t.py", option, value, f"{name.lower()}={value}"])
        assert not any(value in word for word in shown), name
        hidden: list[str] = []
        assert redaction.without_secrets({"a": {name: value}}, hidden=hidden) == {
            "a": {name: "***"}
        }
        assert hidden == [f"a.{name}"]


ORDINARY = (
    "{name}: {value}", "{name} = {value}", "python train.py --{name} {value}",
    '  "{name}": "{value}",', "export {name}={value}",
)  # fmt: skip
NAMES = (
    "lr", "max_tokens", "num_tokens", "pad_token", "eos_token", "tokenizer", "token_type_ids",
    "key", "sort_key", "primary_key", "cache_key", "auth", "author", "password_field", "revision",
    "commit", "sha256", "md5", "run_id", "model", "path", "data_dir", "checkpoint", "url", "image",
    "session", "signature", "secret_name", "api_key", "token", "password", "optimizer", "dataset",
    "version", "keys", "monkey", "pattern", "seed", "date", "public_key", "key_file", "api_key_env",
)  # fmt: skip


def _ordinary(rng: random.Random) -> str:
    """Return a value that is no secret, whatever it goes by."""
    return rng.choice(
        [
            "512", "1e-4", "true", "null", "adamw", "<|endoftext|>", "[PAD]", "${API_KEY}", "$TOKEN",
            "{{ secrets.TOKEN }}", "<your-token-here>", "your_api_key", "hf_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
            "/data/imagenet/train", "~/.config/app/key.json", "../models/resnet50-imagenet1k-v2",
            "resnet50_fpn_coco_2017", "https://example.org/v1/models", "bert-base-uncased",
            "meta-llama/Meta-Llama-3-8B-Instruct", "2026-11-29T06:20:00Z", "20240101T120000",
            "BertForSequenceClassification", "microsoft/deberta-v3-large", "cuda:0", "user_id",
            "os.environ['API_KEY']", "getpass.getpass()", "GITHUB_TOKEN", "s3://bucket/key/part-0001",
            f"sha256:{rng.getrandbits(256):064x}", f"{rng.random():.6f}", f"v{rng.randrange(99)}.1.2",
        ]
    )  # fmt: skip


def _files(count: int) -> Iterator[tuple[str, str]]:
    """Yield ordinary configuration files and command lines, with commit hashes where such belong."""
    rng = random.Random(17)
    for number in range(count):
        form = rng.choice(ORDINARY)
        lines = [form.format(name=rng.choice(NAMES), value=_ordinary(rng)) for _ in range(12)]
        lines.append(form.format(name=rng.choice(["revision", "md5", "commit", "run_id"]),
                                 value=f"{rng.getrandbits(160):040x}"))  # fmt: skip
        yield f"f{number}{rng.choice(['.yaml', '.txt', '.sh', '.toml', '.cfg'])}", "\n".join(lines)


def test_a_comparison_or_a_version_is_no_credential(project: Project) -> None:
    for line in ("detect-secrets==1.5.0", "if password == 'other7x!':", "assert token == made[1]"):
        assert redaction.why(line) is None, line
    project.write("requirements.txt", "numpy==2.4.6\ndetect-secrets==1.5.0\n")
    project.gitexp("log", "-M", "a=1")
    assert "requirements.txt" in project.git("ls-tree", "--name-only", "exp-1").split()


LONG = (
    "x", "_a", "0123456789abcdef", "a.b-", "sk-a", "-eyJabcdefghijk", "login a b ", "a=", "k='",
    "secret_abc-", "--key ",
)  # fmt: skip


@pytest.mark.parametrize("unit", LONG)
def test_a_long_text_is_looked_at_once(unit: str) -> None:
    text = unit * (200_000 // len(unit)) + "("
    start = time.process_time()
    redaction.redact_all(text)
    redaction.without_secrets({"password": text})
    assert time.process_time() - start < 10, "that was minutes when each letter was a start"


def test_a_key_of_large_letters_is_judged_at_once() -> None:
    start = time.process_time()
    assert redaction.is_secret("password", "A" * 60 + "12345")
    assert time.process_time() - start < 5, "that had no end when letters could be split anyhow"


def test_at_most_one_in_a_hundred_ordinary_files_is_held_back(project: Project) -> None:
    files = dict(_files(300))
    for path, text in files.items():
        project.write(path, text)
    project.gitexp("log", "-M", "a=1")
    taken = set(project.git("ls-tree", "-r", "--name-only", "exp-1").split())
    assert len(files.keys() - taken) <= 3, sorted(files.keys() - taken)


def test_secrets_stay_out_of_params_output_and_failures(project: Project) -> None:
    token = made_up(3)["GITHUB_TOKEN"]
    project.commit(
        fail_py=f"import gitexp\ngitexp.log_param('nested', {{'hf': {token!r}}})\n"
        f"print('using {token}')\nraise ValueError('bad token {token}')\n"
    )
    done = project.run("run", "-m", f"with {token}", "--", sys.executable, "fail.py", "-t", token)
    assert "nested.hf may be secrets" in done.stderr
    assert "scan_secrets = false" in done.stderr
    kept = project.git(
        "grep", "-c", token[:20], "exp-1", "--", ".gitexp", "params.yml", check=False
    )
    words = project.git("cat-file", "tag", "exp-1") + project.git(
        "log", "-1", "--format=%B", "exp-1"
    )
    assert kept == ""
    assert token not in words
    assert gitexp.get("exp-1").params["nested.hf"] == "***"
    assert "using ***" in gitexp.get("exp-1").read(".gitexp/output.log").decode()


def test_a_file_that_was_named_is_not_said_to_be_left_out(project: Project) -> None:
    for name in ("named.json", "found.json"):
        (project.root / name).write_text(f'{{"token": "{made_up(18)["GITHUB_TOKEN"]}"}}\n')
    said = project.run("log", "-M", "a=1", "--artifact", "named.json").stderr
    assert "kept, since it was named: named.json (may be a secret" in said
    assert "left out: found.json (may be a secret" in said
    recorded = project.git("ls-tree", "--name-only", "exp-1").split()
    assert "named.json" in recorded
    assert "found.json" not in recorded


def test_secrets_stay_out_of_notes_and_verdicts(project: Project) -> None:
    token = made_up(17)["GITHUB_TOKEN"]
    project.gitexp("log", "-M", "a=1")
    for words in (
        ["note", "exp-1", f"with {token}"],
        ["keep", "exp-1", "--because", f"as {token}"],
        ["label", "exp-1", f"+{token}"],
    ):
        done = project.run(*words)
        assert done.returncode == 0, done.stderr
        assert done.stderr.startswith("gitexp: the text may hold a secret")
        assert token not in done.stdout
    noted = project.git("log", "-p", "refs/notes/gitexp")
    assert token not in noted
    assert "with ***" in noted
    assert "as ***" in noted


@pytest.mark.slow
def test_no_address_gets_out_by_any_way(project: Project, tmp_path: Path) -> None:
    for at, (address, secret) in enumerate(addresses(1).items()):
        if at % 6:
            continue
        project.write("judge.py", "print('score: 1')\n")
        project.write("train.py", f"print('rmse: {at}'); open('o', 'w').write('{at}')\n")
        project.commit()
        run = ["run", "--no-advance"]
        judge = ["--judge", f"python judge.py --hook {address}", "--trusted", "HEAD"]
        words = [
            [*run, "--because", f"see {address}", "--", "python", "train.py", f"--uri={address}"],
            [
                *run,
                "--group",
                address,
                "--notify",
                f"false '{address}'",
                "--",
                "python",
                "train.py",
            ],
            [*run, *judge, "--", "python", "train.py", "-a"],
            [*run, "--", "python", "train.py", "-a", "-b"],
            ["keep", "@", "--because", f"posted to {address}"],
            ["note", "@", f"see {address}"],
            ["merge", "@~1", "@~3", "--yes", "-p", f"uri={address}", *judge],
            ["tried", "-p", f"uri={address}"],
            ["log", "-p", f"uri={address}", "-m", address],
            ["log", "-p", f"uri={address}", "-p", f'hooks=["{address}"]', "-M", "rmse=1"],
            ["import", "mlflow", address.replace(str(urlsplit(address).hostname), "localhost:1")],
            ["push", address.replace("https://", "file:///")],
            *([name] for name in ("show", "doctor", "status", "tree", "book")),
            ["list", "--json"],
            ["doctor", "--explain"],
            ["report", "-o", str(tmp_path / "report.html")],
            ["export", "csv", "-o", str(tmp_path / "table.csv")],
        ]
        for line in words:
            done = project.run(*line)
            assert secret not in done.stdout + done.stderr, line
            assert "internal error" not in done.stderr, line
        for file in tmp_path.glob("*.*"):
            assert secret not in file.read_text(errors="replace"), file
            file.unlink()
        how = ("cat-file", "--batch-all-objects", "--batch", "--unordered")
        assert secret not in project.git(*how), address


def test_a_user_may_record_what_looks_like_a_secret(project: Project) -> None:
    token = made_up(4)["HF_TOKEN"]
    project.write(".gitexp.toml", "scan_secrets = false\n")
    done = project.run("log", "-p", f"t={token}", "-M", "a=1")
    assert gitexp.get("exp-1").params == {"t": token}
    assert "scan_secrets" in done.stderr, "a repository's own setting is said at each recording"


def test_what_the_settings_let_in_is_named_at_each_recording(project: Project) -> None:
    project.write(".gitexp.toml", 'include = [".env"]\n')
    project.write(".env", f"A={made_up(6)['HF_TOKEN']}\n")
    assert ".env may be a secret" in project.run("log", "-M", "a=1").stderr


@pytest.mark.parametrize("name", ["DB_PASSWORD", "HF_TOKEN", "AWS_SECRET_ACCESS_KEY"])
def test_files_with_secrets_are_named(project: Project, name: str) -> None:
    for path in ("a.sh", "b.txt", "c.yaml"):
        project.write(path, f"x: 1\nexport {name}={made_up(5)[name]}\n")
    done = project.run("log", "-M", "a=1")
    assert not {"a.sh", "b.txt", "c.yaml"} & set(
        project.git("ls-tree", "--name-only", "exp-1").split()
    )
    assert "line 2: " in done.stderr


def _filled(form: str, name: str, value: str) -> str:
    lower = name.lower()
    return form.format(upper=name, lower=lower, dashed=lower.replace("_", "-"), value=value)


def test_plain_code_is_not_worth_the_scanner(project: Project) -> None:
    """Importing it takes more than all else of a short run."""
    code = (
        "import sys\nfrom gitexp.cli import main\ntry:\n    main(['log', '-M', 'a=1'])\n"
        "except SystemExit:\n    print('detect_secrets' in sys.modules, 'yaml' in sys.modules)"
    )
    project.write("train.py", "def learning_rate_schedule(step):\n    return 0.1 / (1 + step)\n")
    assert _said(project, code) == ["False", "False"]
    project.write("more.py", f"value = '{made_up(2)['COHERE_API_KEY']}'\n")
    assert _said(project, code)[0] == "True"


def _said(project: Project, code: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", code], cwd=project.root, capture_output=True)
    return done.stdout.decode().split()[-2:]
