"""``python -m crossfade``: the same as the command ``crossfade``."""

from crossfade.cli.entry import main

if __name__ == "__main__":
    main()
