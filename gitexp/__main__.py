"""``python -m gitexp``, and ``gitexp``."""

import gc


def main() -> None:
    """Run the command line."""
    gc.set_threshold(100_000)  # what a command imports and makes lives until its end, which is soon
    from gitexp.cli import main as run

    run()


if __name__ == "__main__":
    main()
