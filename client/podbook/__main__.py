"""``python -m podbook`` is the ``podbook`` command."""

from podbook.cli.main import main

if __name__ == "__main__":
    main()
