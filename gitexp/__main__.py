"""``python -m gitexp``."""

from gitexp.cli import main

if __name__ == "__main__":
    main()
